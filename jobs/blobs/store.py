"""Where bytes live: Azure Blob Storage, or a folder, behind one protocol."""

from __future__ import annotations

import posixpath
import re
from collections.abc import AsyncIterator
from typing import Final, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from jobs.errors import DarkroomError

LINK_SECONDS: Final = 7 * 86_400
"""How long a signed link opens when nothing else is said."""

_PORTS: Final = {"http": 80, "https": 443}
_MAX_NAME: Final = 1024
"""Characters, as Azure Blob Storage takes them."""
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


class BlobInfo(Struct, frozen=True, kw_only=True):
    """What is known of a stored blob without its bytes. `size` in bytes; `etag` quoted as in HTTP."""

    name: str
    size: int
    media_type: str
    modified_ms: int
    etag: str


class BlobExists(Exception):
    """A create-only `put` met a blob of that name."""


class BlobMissing(Exception):
    """There is no blob of that name."""


class BlobStoreDown(DarkroomError):
    """The store cannot be reached, or does not do what it is asked: asking again may help."""

    code = "SYSTEM_ERROR"
    retryable = True


class BlobRefused(BlobStoreDown):
    """The store answered 4xx, as after a change of its key: asking again helps when somebody has mended that."""


class BlobStore(Protocol):
    """Named bytes. Names are `/`-separated ASCII paths below the container; no `.` or `..` segments."""

    async def open(self) -> None:
        """Make the client."""

    async def close(self) -> None:
        """Close the client and its connections."""

    async def ready(self) -> None:
        """One cheap round trip; raises `BlobStoreDown` when the store does not answer.

        Makes the container where it is missing, as the first `put` does, with public blob access where so configured.
        """

    async def put(self, name: str, data: bytes, media_type: str) -> None:
        """Store `data` under a new name. Raises `BlobExists`, `BlobStoreDown`."""

    async def info(self, name: str) -> BlobInfo:
        """Raises `BlobMissing`."""
        ...

    async def read(self, name: str) -> bytes:
        """All bytes. Raises `BlobMissing`."""
        ...

    def stream(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start`, in pieces. Raises `BlobMissing` before the first."""
        ...

    async def delete(self, name: str) -> bool:
        """Whether there was such a blob."""
        ...

    def names(self, prefix: str) -> AsyncIterator[str]:
        """Names that begin with `prefix`."""
        ...

    def link(self, name: str, seconds: int | None = None) -> str:
        """An absolute URL of the blob: plain where the container is public, else signed (`seconds`: its life)."""
        ...

    def name_of(self, url: str) -> str | None:
        """The name behind a URL below our container, `""` when it can be no blob's, None for any other URL.

        Scheme and query do not count.
        """
        ...

    @property
    def host(self) -> str | None:
        """The storage's host name, where pictures live outside this server."""
        ...


def valid_name(name: str) -> bool:
    """Whether a name is a path that stays below its container: ASCII, no empty, hidden or dot segments."""
    return len(name) <= _MAX_NAME and _NAME.fullmatch(name) is not None


def own_name(url: str, base: str) -> str | None:
    """The name in a URL below `base`; `""`: below it, but no blob's name; None: elsewhere.

    Scheme and query do not count; host and port do, as does the path however it is written (`%2e`, `//`, `..`).
    """
    try:
        there, ours = urlsplit(url), urlsplit(base)
        if _origin(there) != _origin(ours):
            return None
    except ValueError:  # no URL at all
        return None
    path = unquote(there.path)
    inside = f"{ours.path.rstrip('/')}/"
    if not f"/{posixpath.normpath(path).lstrip('/')}/".startswith(inside):
        return None
    name = path.removeprefix(inside)
    return name if path.startswith(inside) and valid_name(name) else ""


def _origin(url: SplitResult) -> tuple[str, int | None]:
    host = url.netloc.lower() if url.port is None else url.netloc.lower().rpartition(":")[0]
    return host, None if url.port == _PORTS.get(url.scheme) else url.port
