"""Pictures that were paid for, on their way to the blob store: stored before their job says so."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct
from msgspec.structs import replace

from jobs.blobs.store import BlobExists, BlobStoreDown
from jobs.errors import DarkroomError, ServiceUnavailable
from jobs.model import ledger, moves
from jobs.model.picture import Image, Picture
from jobs.model.times import now_ms
from jobs.outage import Outage
from jobs.pictures.heads import EXTENSIONS, read_head
from jobs.pictures.names import stem_of, unusable_name
from jobs.pictures.sniff import NotAPicture
from jobs.redis.connection import outage
from jobs.store.outcomes import Fenced, Stale
from jobs.worker.lease import LeasedJob
from jobs.worker.output_format import damage

if TYPE_CHECKING:
    from jobs.blobs.expiry import BlobExpiry
    from jobs.blobs.spool import Spool
    from jobs.blobs.store import BlobStore
    from jobs.model.job import Job
    from jobs.model.request import Warning_
    from jobs.store.jobs import RedisJobStore
    from jobs.worker.output_format import Converter

LOST_MS: Final = 86_400_000
"""How long a picture is kept whose place in its job is taken."""
SPOOL_AFTER_SECONDS: Final = 2.0
"""An upload that takes longer than this has its bytes on disk meanwhile."""
UNUSABLE_SECONDS: Final = 10.0
"""What storing bytes that are no picture may take: the job's end waits for their name."""
STALE_SECONDS: Final = 0.05
"""Before a record is read again in which another move came first."""

_log = structlog.get_logger()


class ResultWriter:
    """Puts pictures into the blob store, by way of the spool on disk while that does not take them."""

    def __init__(
        self, *, store: RedisJobStore, blobs: BlobStore, spool: Spool, expiry: BlobExpiry, converter: Converter
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._spool = spool
        self._expiry = expiry
        self._converter = converter
        self._outage = Outage("the blob store")

    async def store(self, job: LeasedJob, call: int, indexes: tuple[int, ...], picture: Picture) -> Stored | None:
        """Bytes first: they are in durable storage before the job says so. Each picture of an answer by itself.

        They are kept whatever they are: a torn one with a warning, as it came. Whoever has them stored sees to it that
        the job says so.
        """
        if picture.index >= len(indexes):
            return None  # one more than was asked for
        index = indexes[picture.index]
        image = self.image(job.now, call, index, picture)
        original, warning = (
            _Original(call=call, name=image.blob, data=picture.data),
            damage(picture, read_head(picture.data)),
        )
        wanted = self._converter.wanted(job.now, call, picture)
        if wanted is not None:
            await self._spool_bytes(job, original)  # others may be converted before it: that takes as long as it takes
            picture, warning = await self._converter.convert(picture, wanted)
            image = self.image(job.now, call, index, picture)
        begun = now_ms()
        await self._store_bytes(job, original, image, picture.data)
        image = replace(image, url=self._blobs.link(image.blob))  # the store may have had no key for links before
        return Stored(original=original, image=image, upload_ms=now_ms() - begun, warning=warning)

    async def record_stored(self, job: LeasedJob, stored: Stored) -> None:
        """Write into the job that it has the picture, whatever became of it. Raises as `LeasedJob.apply`."""
        try:
            await self.record(job, stored.original.call, stored.image, stored.upload_ms)
        except (Fenced, moves.MoveRefused):
            if await self._record_late(job.now.id, stored.original.call, stored.image):
                await self._drop(stored.original)
            raise
        await self._drop(stored.original)

    async def recorded(self, job: Job, stored: Stored) -> None:
        """The job's record says by now what it has of the picture: the bytes are needed nowhere else."""
        await self._keep_unless_had(job, stored.image)
        await self._drop(stored.original)

    def image(self, job: Job, call: int, index: int, picture: Picture) -> Image:
        """The picture `index` of a job as its record is to have it. Raises `NotAPicture`."""
        head = read_head(picture.data)
        if head is None:
            raise NotAPicture("it is of no kind that is known")
        name = f"{stem_of(job, call, index)}.{EXTENSIONS[head.media_type]}"
        return Image(
            index=index,
            url=self._blobs.link(name),
            blob=name,
            media_type=head.media_type,
            bytes=len(picture.data),
            sha256=hashlib.sha256(picture.data).hexdigest(),
            width=head.width,
            height=head.height,
            revised_prompt=picture.revised_prompt,
        )

    async def keep_unusable(self, job: Job, data: bytes) -> str | None:
        """Keep what came for a picture and is none, for the operator and a day; its name, or None: it is lost."""
        name = unusable_name(job)
        try:
            async with asyncio.timeout(UNUSABLE_SECONDS):
                await self._expiry.add(now_ms() + LOST_MS, name)
                await self._blobs.put(name, data, "application/octet-stream")
        except (DarkroomError, TimeoutError) as error:
            _log.warning("what came is no picture, and was not kept", error=str(error), bytes=len(data))
            return None
        _log.warning("what came is no picture, kept for a day", blob=name, bytes=len(data))
        return name

    async def record(self, job: LeasedJob, call: int, image: Image, upload_ms: int) -> None:
        """Write into the job that it has the picture, also when it has ended meanwhile. Raises as `LeasedJob.apply`."""
        try:
            now = await job.apply(partial(moves.checkpoint, image=image, upload_ms=upload_ms))
        except moves.MoveRefused:
            now = await job.apply(partial(moves.salvage, call=call, image=image))
        await self._keep_unless_had(now, image)

    async def record_late(self, job_id: str, call: int, image: Image) -> bool:
        """Write a stored picture into a job that others hold, or that has ended, whatever became of it.

        False: its call is still open, and whoever holds the job takes the picture. Raises `ServiceUnavailable`.
        """
        while True:
            job = await self._store.get(job_id)
            if job is None:  # erased meanwhile
                await self._expiry.discard(image.blob)
                return True
            if _has(job, image):
                return True
            if not job.status.terminal and ledger.row_of(job, call).ended_ms is None:
                return False
            try:
                await self._store.commit(job, moves.salvage(job, now_ms(), call, image))
            except Stale:
                await asyncio.sleep(STALE_SECONDS)
            except moves.MoveRefused:
                await self._keep_for_a_day(image)
                return True
            else:
                _log.info("late picture kept", job=job_id, call=call, status=str(job.status))
                return True

    async def _record_late(self, job_id: str, call: int, image: Image) -> bool:
        """See `record_late`; a store that is away is waited for."""
        while True:
            try:
                return await self.record_late(job_id, call, image)
            except ServiceUnavailable:
                await asyncio.sleep(outage.pause())

    async def _keep_unless_had(self, job: Job, image: Image) -> None:
        if not _has(job, image):
            await self._keep_for_a_day(image)

    async def _keep_for_a_day(self, image: Image) -> None:
        _log.warning("picture whose place is taken, kept for a day", blob=image.blob)
        await self._expiry.add(now_ms() + LOST_MS, image.blob)

    async def _store_bytes(self, job: LeasedJob, original: _Original, image: Image, data: bytes) -> None:
        """Upload, for as long as it takes; while the blob store does not take them the bytes are on disk, too.

        Raises `BlobStoreDown` at the job's deadline when they are on disk, from where they are salvaged.
        """
        while True:
            upload = asyncio.create_task(self._blobs.put(image.blob, data, image.media_type))
            try:
                await asyncio.wait([upload], timeout=SPOOL_AFTER_SECONDS)
                if not upload.done() or isinstance(upload.exception(), BlobStoreDown):
                    await self._spool_bytes(job, original)
                await upload
            except BlobExists:
                return
            except BlobStoreDown as error:
                self._outage.failed(error)
                if original.spooled and now_ms() >= job.now.cancel_at_ms:
                    raise
                await asyncio.sleep(self._outage.pause())
            else:
                self._outage.over()
                return
            finally:
                upload.cancel()

    async def _spool_bytes(self, job: LeasedJob, original: _Original) -> None:
        """On disk, and its row says so, if that can be; neither a disk nor a lease that is lost ends the upload."""
        if original.spooled:
            return
        original.spooled = await asyncio.to_thread(self._spool.keep, original.name, job.now.id, original.data)
        if original.spooled:
            with contextlib.suppress(moves.MoveRefused, Fenced, OSError):
                spool = await asyncio.to_thread(self._spool.name)
                await job.apply(partial(moves.spooled, call=original.call, spool=spool))

    async def _drop(self, original: _Original) -> None:
        if original.spooled:
            await asyncio.to_thread(self._spool.drop, original.name)


def _has(job: Job, image: Image) -> bool:
    return image.blob in {have.blob for have in job.images}


class Stored(Struct, frozen=True, kw_only=True):
    """A picture in the blob store, of which its job does not know yet.

    The warning is of one that is damaged, or could not be made what was asked for, and was kept as it came.
    """

    original: _Original
    image: Image
    upload_ms: int
    warning: Warning_ | None

    def checkpoint(self, job: Job, now: int) -> moves.Changed:
        """The move by which the job knows of it."""
        return moves.checkpoint(job, now, self.image, self.upload_ms)


class _Original(Struct):
    """A picture as it came; under this name it is on disk while the blob store has nothing of it yet."""

    call: int
    name: str
    data: bytes
    spooled: bool = False
