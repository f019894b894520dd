"""Pictures that the blob store would not take yet: files in the data directory, found again after a crash."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 1024**3
"""Beyond this nothing more is spooled: the bytes wait in memory alone."""
MAX_AGE_SECONDS: Final = 24 * 3_600
"""Files that are older are removed: their jobs have ended long ago."""

_ENDING: Final = ".picture"
_DRAFT: Final = ".draft"
"""How the name of a file ends that is not whole yet."""


class Spool:
    """One a data directory; workers that share the directory share it. All methods block: call them in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def name(self) -> str:
        """Which spool this is, made once and kept with it: other machines' workers do not have its files."""
        path = self._folder / "name"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text()
        self._write(path, secrets.token_hex(8).encode())
        return path.read_text()

    def keep(self, name: str, job_id: str, data: bytes) -> bool:
        """Whether a job's bytes are on disk now under the blob's name; False when there is no room for them."""
        try:
            if self._size() + len(data) > MAX_BYTES:
                return False
            self._write(self._path(name), job_id.encode() + b"\n" + data)
        except OSError:
            return False
        return True

    def find(self, name: str) -> bytes | None:
        """What was kept under a blob's name."""
        try:
            return self._path(name).read_bytes().partition(b"\n")[2]
        except OSError:
            return None

    def job_of(self, name: str) -> str | None:
        """Whose picture it is; the picture itself is not read."""
        try:
            with self._path(name).open("rb") as file:
                return file.readline().decode().rstrip("\n")
        except OSError:
            return None

    def drop(self, name: str) -> None:
        """The blob store has it, and its job says so. What cannot be removed now is met again among the names."""
        with contextlib.suppress(OSError):
            self._path(name).unlink()

    def names(self) -> list[str]:
        """The blobs' names of what is kept; what is older than a day is gone, the drafts of the killed with it."""
        found = []
        for path in [*self._files(_ENDING), *self._files(_DRAFT)]:
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > MAX_AGE_SECONDS:
                    path.unlink()
                elif path.name.endswith(_ENDING):
                    found.append(path.name.removesuffix(_ENDING).replace("~", "/"))
        return found

    def _size(self) -> int:
        size = 0
        for path in self._files(_ENDING):
            with contextlib.suppress(FileNotFoundError):  # dropped meanwhile, by this worker or by another one
                size += path.stat().st_size
        return size

    def _files(self, ending: str) -> list[Path]:
        return list(self._folder.glob(f"*{ending}"))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name.replace('/', '~')}{_ENDING}"

    def _write(self, path: Path, data: bytes) -> None:
        """Whole and on disk, or not there at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_DRAFT}")
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:  # a full disk is not to be filled with halves
            draft.unlink(missing_ok=True)
            raise
        if path.name == "name":
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(draft)
            draft.unlink()
        else:
            draft.replace(path)
