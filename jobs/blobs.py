"""Where bytes live: Azure Blob Storage, or a folder, behind one protocol."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from jobs.errors import DarkroomError

LINK_SECONDS: Final = 7 * 86_400
"""How long a signed link opens when nothing else is said."""


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
    """The store cannot be reached or answers 5xx: asking again may help."""

    code = "SYSTEM_ERROR"
    retryable = True


class BlobRefused(DarkroomError):
    """The store answered 4xx: asking again will not help."""

    code = "SYSTEM_ERROR"


class BlobStore(Protocol):
    """Named bytes. Names are `/`-separated ASCII paths below the container; no `.` or `..` segments."""

    async def open(self) -> None:
        """Make the client; make the container (with public blob access where so configured) when it is missing."""

    async def close(self) -> None:
        """Close the client and its connections."""

    async def ready(self) -> None:
        """One cheap round trip; raises `BlobStoreDown` when the store does not answer."""

    async def put(self, name: str, data: bytes, media_type: str) -> None:
        """Store `data` under a new name. Raises `BlobExists`, `BlobStoreDown`, `BlobRefused`."""

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
        """The name behind a URL of ours (query ignored), or None when it is not ours."""
        ...


def valid_name(name: str) -> bool:
    """Whether a name is a path that stays below its container: ASCII, no empty, hidden or dot segments."""
    return len(name) <= _LONGEST and _NAME.fullmatch(name) is not None


def own_name(url: str, base: str) -> str | None:
    """The blob name in a URL below `base`: scheme and query do not count, host and port do."""
    there, ours = urlsplit(url), urlsplit(base)
    path = unquote(there.path)
    if there.netloc.lower() != ours.netloc.lower() or not path.startswith(f"{ours.path}/"):
        return None
    name = path.removeprefix(f"{ours.path}/")
    return name if valid_name(name) else None


_LONGEST: Final = 1024
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
