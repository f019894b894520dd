"""Azurite: Azure Blob Storage's own emulator."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.neighbours import free_port, listens, start, stop, wait_until

PACKAGE = Path(__file__).parents[1] / "clients/azurite/node_modules/azurite"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's published account key: no secret."""


class Azurite:
    """With the files of a `certificate` and its key it speaks https, and takes Entra's tokens as well."""

    def __init__(self, node: str, certificate: Sequence[Path] = ()) -> None:
        self._node = node
        files = [part for option in zip(("--cert", "--key"), map(str, certificate), strict=False) for part in option]
        self._tls = ["--oauth", "basic", *files] if files else []
        self.port = free_port()
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}/{ACCOUNT}"
        self.connection_string = (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.url};"
        )
        self.start()

    def start(self) -> None:
        main = str(PACKAGE / "dist/src/blob/main.js")
        told = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--inMemoryPersistence"]
        quiet = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        self._child = start([self._node, main, *told, *quiet, *self._tls])
        wait_until(lambda: listens(self.port), seconds=60, what="Azurite")

    def stop(self) -> None:
        stop(self._child)


@contextmanager
def running_azurite(certificate: Sequence[Path] = ()) -> Iterator[Azurite]:
    node = shutil.which("node")
    if node is None or not PACKAGE.is_dir():
        pytest.skip("Azurite is not installed: scripts/test installs it where node and npm are")
    server = Azurite(node, certificate)
    try:
        yield server
    finally:
        server.stop()
