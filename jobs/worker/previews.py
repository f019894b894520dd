"""Previews: pictures on the way to the picture, each kept for an hour. One that makes trouble is dropped."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Final

import structlog

from jobs.errors import DarkroomError
from jobs.model import moves
from jobs.model.picture import Picture, Preview
from jobs.model.times import now_ms
from jobs.pictures.heads import EXTENSIONS
from jobs.pictures.sniff import MAX_BYTES, NotAPicture, measure
from jobs.store.outcomes import Fenced

if TYPE_CHECKING:
    from jobs.blobs.expiry import BlobExpiry
    from jobs.blobs.store import BlobStore
    from jobs.worker.lease import LeasedJob

KEPT_SECONDS: Final = 3_600
"""How long a preview is kept."""
UPLOAD_SECONDS: Final = 5.0
"""A preview that takes longer to store than this is no news any more."""

_log = structlog.get_logger()


class Previews:
    """Stores previews, and tells their jobs where they are."""

    def __init__(self, *, blobs: BlobStore, expiry: BlobExpiry) -> None:
        self._blobs = blobs
        self._expiry = expiry

    async def keep(self, job: LeasedJob, indexes: tuple[int, ...], picture: Picture, place: int) -> None:
        """Store the preview `place` of a picture of the call, and say where it is. Never fails.

        One that comes too late (after its picture, a later preview, or the job's end) is swept with the others.
        """
        try:
            preview = await self._stored(job.now.org, indexes[picture.index], picture, place)
        except (DarkroomError, NotAPicture, IndexError, TimeoutError) as error:
            _log.warning("preview dropped", error=str(error))
            return
        with contextlib.suppress(moves.MoveRefused, Fenced):
            await job.apply(lambda j, now: moves.preview(j, now, preview))

    async def _stored(self, org: str, index: int, picture: Picture, place: int) -> Preview:
        if len(picture.data) > MAX_BYTES:
            raise NotAPicture(f"it is larger than {MAX_BYTES} bytes")
        measured = measure(picture.data)
        name = f"previews/{org}/{uuid.uuid4()}.{EXTENSIONS[measured.media_type]}"
        async with asyncio.timeout(UPLOAD_SECONDS):
            await self._expiry.add(now_ms() + KEPT_SECONDS * 1000, name)
            await self._blobs.put(name, picture.data, measured.media_type)
        return Preview(
            index=index,
            partial_index=place,
            url=self._blobs.link(name, KEPT_SECONDS),
            media_type=measured.media_type,
            width=measured.width,
            height=measured.height,
        )
