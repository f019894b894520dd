"""Strangers' pictures, checked in threads: a few at a time, for each takes memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from jobs.errors import InvalidPicture
from jobs.pictures.gate import PNG_AND_JPEG, CleanPicture, validate, validate_mask
from jobs.pictures.sniff import EXTENSIONS, NotAPicture

MAX_CONCURRENT_DECODES: Final = 2
"""Pictures that one process decodes at a time: each may take 200 MB."""
ANY: Final = frozenset(EXTENSIONS)
"""What is taken where a face lets its callers say nothing of the media type."""

_Result = TypeVar("_Result")


class Decoder:
    """Checks pictures beside the event loop. One a process."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(MAX_CONCURRENT_DECODES)

    async def picture(self, data: bytes, media_type: str | None, *, field: str) -> CleanPicture:
        """A reference image, fit to be stored and sent. Raises `InvalidPicture` with `field`.

        `media_type` is the one that its sender declared; None or an empty one: no claim.
        """
        taken = PNG_AND_JPEG if media_type else ANY
        return await self._decode(field, lambda: validate(data, media_type or None, taken))

    async def mask(self, data: bytes, size: tuple[int, int] | None, *, field: str) -> CleanPicture:
        """A mask, fit to be stored and sent. Raises `InvalidPicture` with `field`.

        `size` is its reference image's in pixels, None where that is not known yet.
        """
        return await self._decode(field, lambda: validate_mask(data, size))

    async def _decode(self, field: str, gate: Callable[[], _Result]) -> _Result:
        async with self._turns:
            try:
                return await asyncio.to_thread(gate)
            except NotAPicture as error:
                raise InvalidPicture(str(error), field=field) from None
