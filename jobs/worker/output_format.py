"""Pictures in the output format that was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from msgspec import Struct

from jobs.pictures.convert import converted

CONVERTED_AT_ONCE: Final = 2
"""Pictures that one process converts at a time: each may take 400 MB."""
BEST: Final = 100
"""The quality of a picture whose request names no compression, as OpenAI documents it."""


class WantedFormat(Struct, frozen=True):
    """What a picture is to be made; `quality` is that of JPEG and WebP, 0 to 100."""

    media_type: str
    quality: int


Convert: TypeAlias = Callable[[bytes, str, int], Awaitable[bytes]]


async def in_a_thread(data: bytes, media_type: str, quality: int) -> bytes:
    """Convert in a thread of this process."""
    return await asyncio.to_thread(converted, data, media_type, quality)
