"""Blobs in a folder: for one machine, in development and in tests."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import mimetypes
import os
import re
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from jobs.blobs.store import LINK_SECONDS, BlobExists, BlobInfo, BlobMissing, BlobStoreDown, own_name, valid_name
from jobs.ids import new_id

PIECE: Final = 256 * 1024
_TIME: Final = re.compile(r"[0-9]{1,12}")
"""Unix seconds, as `link` writes them."""
_TYPES: Final = {".avif": "image/avif", ".heic": "image/heic", ".jp2": "image/jp2", ".webp": "image/webp"}
"""Those that `mimetypes` of Python 3.11 does not know everywhere."""


class LocalBlobs:
    """A folder of files. With `public`, the name in a link is the secret; else links carry a signature."""

    def __init__(  # noqa: PLR0913  # what is set of a store
        self,
        root: Path,
        container: str,
        base_url: str,
        *,
        public: bool,
        signing_key: bytes,
        link_base: str | None = None,
        link_seconds: int = LINK_SECONDS,
    ) -> None:
        self._root = root / container
        self._base = f"{base_url}/{container}"
        self._link_base = link_base or self._base
        self._link_seconds = link_seconds
        self._public = public
        self._key = signing_key

    async def open(self) -> None:
        """Make the folder."""
        await asyncio.to_thread(self._root.mkdir, parents=True, exist_ok=True)

    async def close(self) -> None:
        """Nothing is held."""

    async def ready(self) -> None:
        """Raises `BlobStoreDown` when the folder is gone."""
        if not await asyncio.to_thread(self._root.is_dir):
            raise BlobStoreDown("the blob folder is not there", reason="blob_store_unavailable")

    async def put(self, name: str, data: bytes, media_type: str) -> None:  # noqa: ARG002  # the extension says it
        """See `BlobStore.put`: whole and on disk, or not there at all."""
        try:
            await asyncio.to_thread(self._write, self._path(name), data)
        except FileExistsError:
            raise BlobExists(name) from None
        except OSError as error:
            raise BlobStoreDown("the blob folder cannot be written", reason="blob_store_unavailable") from error

    async def info(self, name: str) -> BlobInfo:
        """See `BlobStore.info`."""
        try:
            found = await asyncio.to_thread(self._path(name).stat)
        except OSError:
            raise BlobMissing(name) from None
        if not stat.S_ISREG(found.st_mode):  # a folder is no blob: its name would tell that an org is there
            raise BlobMissing(name)
        media_type = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        etag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
        return BlobInfo(
            name=name, size=found.st_size, media_type=media_type, modified_ms=found.st_mtime_ns // 1_000_000, etag=etag
        )

    async def read(self, name: str) -> bytes:
        """See `BlobStore.read`."""
        try:
            return await asyncio.to_thread(self._path(name).read_bytes)
        except OSError:
            raise BlobMissing(name) from None

    async def stream(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """See `BlobStore.stream`."""
        try:
            file = await asyncio.to_thread(self._path(name).open, "rb")
        except OSError:
            raise BlobMissing(name) from None
        with file:
            file.seek(start)
            left = length if length is not None else os.fstat(file.fileno()).st_size - start
            while left > 0:
                piece = await asyncio.to_thread(file.read, min(left, PIECE))
                if not piece:
                    return
                left -= len(piece)
                yield piece

    async def delete(self, name: str) -> bool:
        """See `BlobStore.delete`."""
        try:
            await asyncio.to_thread(self._path(name).unlink)
        except (FileNotFoundError, BlobMissing):
            return False
        except OSError as error:
            raise BlobStoreDown("the blob cannot be deleted", reason="blob_store_unavailable") from error
        return True

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """See `BlobStore.names`."""
        folder = self._root / prefix.rpartition("/")[0]
        for path in await asyncio.to_thread(lambda: sorted(p for p in folder.rglob("*") if p.is_file())):
            name = path.relative_to(self._root).as_posix()
            if name.startswith(prefix) and not path.name.startswith("."):
                yield name

    def link(self, name: str, seconds: int | None = None) -> str:
        """See `BlobStore.link`."""
        url = f"{self._link_base}/{name}"
        if self._public:
            return url
        until = int(time.time()) + (seconds or self._link_seconds)
        return f"{url}?se={until}&sig={self._signature(name, until)}"

    def name_of(self, url: str) -> str | None:
        """See `BlobStore.name_of`."""
        found = own_name(url, self._base)
        return own_name(url, self._link_base) if found is None else found

    @property
    def host(self) -> None:
        """See `BlobStore.host`: this server itself serves them."""
        return None

    def opens(self, name: str, until: str, signature: str) -> bool:
        """Whether a link with these parameters opens the blob; any does where the container is public."""
        if self._public:
            return True
        in_time = _TIME.fullmatch(until) is not None and int(until) >= time.time()
        return in_time and hmac.compare_digest(signature.encode(), self._signature(name, int(until)).encode())

    def _signature(self, name: str, until: int) -> str:
        return hmac.new(self._key, f"{name}\n{until}".encode(), hashlib.sha256).hexdigest()

    def _path(self, name: str) -> Path:
        if not valid_name(name):
            raise BlobMissing(name)
        return self._root / name

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{new_id('draft')}")
        try:
            with draft.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
