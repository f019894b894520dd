"""An emulator of Cosmos DB: `@vercel/cosmosdb-server`, which keeps everything in memory."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from azure.cosmos import ContainerProxy, CosmosClient, PartitionKey

from tests.neighbours import free_port, listens, start, stop, wait_until

PACKAGE = Path(__file__).parents[1] / "clients/cosmos/node_modules/@vercel/cosmosdb-server"
KEY = base64.b64encode(b"any key of the tests").decode()


class Cosmos:
    """Not started yet: a test says when it is there."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._child = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> ContainerProxy:
        """The front end's container, made by the official client."""
        told = ["-p", str(self.port), "--no-ssl", "--host", "127.0.0.1"]
        self._child = start([self._node, str(PACKAGE / "lib/cli.js"), *told])
        wait_until(lambda: listens(self.port), seconds=60, what="Cosmos DB")
        client = CosmosClient(self.url, credential=KEY, enable_endpoint_discovery=False)
        database = client.create_database("catafract")
        return database.create_container("generations", partition_key=PartitionKey("/userId"))

    def stop(self) -> None:
        if self._child is not None:
            stop(self._child)


@contextmanager
def cosmos_to_start() -> Iterator[Cosmos]:
    node = shutil.which("node")
    if node is None or not PACKAGE.is_dir():
        pytest.skip("tests/clients/cosmos is not installed: scripts/test installs it where node and npm are")
    cosmos = Cosmos(node)
    try:
        yield cosmos
    finally:
        cosmos.stop()
