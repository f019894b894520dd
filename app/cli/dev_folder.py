"""The data directory of `darkroom dev`: one process at a time has it, and its secrets outlive that process."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from app.cli.supervisor import kill_leftovers


class FolderInUse(Exception):
    """Another `darkroom dev` has the data directory; `pid` is its process id, as far as that is known."""

    def __init__(self, pid: str) -> None:
        super().__init__(pid)
        self.pid = pid


class DevSecrets(Struct, frozen=True):
    """The dev key, and the root secret in base64."""

    key: str
    secret: str


@contextlib.contextmanager
def owned(folder: Path, *, ephemeral: bool) -> Iterator[None]:
    """Have the folder for as long as it lasts; an `ephemeral` one is deleted then. Raises `FolderInUse`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FolderInUse(_owner(folder)) from None
        kill_leftovers(folder)
        (folder / "pid").write_text(str(os.getpid()))
        try:
            yield
        finally:
            (folder / "children").unlink(missing_ok=True)
            if ephemeral:
                shutil.rmtree(folder, ignore_errors=True)


def kept_secrets(folder: Path) -> DevSecrets:
    """The folder's secrets: made once, readable by their owner alone."""
    path = folder / "secrets.json"
    if not path.exists():
        made = {
            "key": f"dev-{secrets.token_urlsafe(24)}",
            "secret": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(made))
    return DevSecrets(**json.loads(path.read_text()))


def _owner(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return (folder / "pid").read_text()
    return "unknown"
