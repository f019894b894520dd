"""Pictures that were paid for and that their job does not know of: looked for on disk and in the blob store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import structlog

from jobs.blobs.store import BlobExists, BlobMissing, BlobRefused, BlobStoreDown
from jobs.model import ledger, moves
from jobs.model.job import Status
from jobs.model.picture import Image, Picture
from jobs.model.times import now_ms
from jobs.pictures.heads import read_head
from jobs.pictures.names import names_of, stem_of
from jobs.pictures.sniff import NotAPicture
from jobs.store.outcomes import Stale
from jobs.worker.lease import LeasedJob
from jobs.worker.output_format import damage

if TYPE_CHECKING:
    from jobs.blobs.spool import Spool
    from jobs.blobs.store import BlobStore
    from jobs.model.job import Job
    from jobs.model.request import Warning_
    from jobs.store.claims import Claims
    from jobs.store.jobs import RedisJobStore
    from jobs.worker.output_format import Converter
    from jobs.worker.results import ResultWriter

PAUSE_SECONDS: Final = 1.0
"""Between two looks into a blob store that is away."""
LOOK_AGAIN_MS: Final = 60_000
"""Between two looks for the same picture."""
LOOK_FOR_MS: Final = 600_000
"""How long a picture is sought whose call was open when its job ended: no call takes longer."""

_log = structlog.get_logger()


class Salvager:
    """Gives jobs the pictures of calls whose end nobody saw."""

    def __init__(  # noqa: PLR0913  # the composition root hands over each part by name
        self,
        *,
        store: RedisJobStore,
        claims: Claims,
        blobs: BlobStore,
        spool: Spool,
        writer: ResultWriter,
        converter: Converter,
    ) -> None:
        self._store = store
        self._claims = claims
        self._blobs = blobs
        self._spool = spool
        self._writer = writer
        self._converter = converter

    async def recover(self, job: LeasedJob, call: int, index: int) -> Warning_ | None:
        """Take the picture of a call whose end nobody saw: from the blob store, or from this machine's disk.

        On disk it is as it came: it is made what was asked for now.
        """
        name, data = await self._on_disk(job.now, call, index)
        found = await self._stored_in_time(job.now, call, index, data)
        if found is None:
            return None
        image, warning = found
        await self._writer.record(job, call, image, 0)
        if data is not None:
            await asyncio.to_thread(self._spool.drop, name)
        return warning

    async def salvage(self) -> None:
        """Bring what waits on disk to the blob store: its job has ended without it, or sleeps until it is there."""
        for name in await asyncio.to_thread(self._spool.names):
            try:
                await self._salvage(name)
            except (BlobRefused, NotAPicture) as error:
                _log.warning("spooled picture refused", blob=name, error=str(error))
            except BlobStoreDown:
                return

    async def find_missing(self) -> None:
        """Look for pictures of calls that were open when their jobs ended: whoever made them may have died since."""
        for job_id in await self._claims.pending_salvage():
            try:
                again = await self._find_missing(job_id)
            except BlobRefused as error:
                _log.warning("blob store refused a look for a picture", job=job_id, error=error.message)
                again = True
            except BlobStoreDown:
                return
            except NotAPicture as error:
                _log.warning("what was found is no picture", job=job_id, error=str(error))
                again = False
            await self._claims.salvage_again(job_id, now_ms() + LOOK_AGAIN_MS if again else None)

    async def own_spool(self) -> str:
        """The name of the spool on this machine's disk."""
        return await asyncio.to_thread(self._spool.name)

    async def _salvage(self, name: str) -> None:
        job_id = await asyncio.to_thread(self._spool.job_of, name)
        if job_id is None:
            return
        job = await self._store.get(job_id)
        if job is None:
            await asyncio.to_thread(self._spool.drop, name)
            return
        if not job.status.terminal:  # a live job's picture is taken by whoever claims the job
            await self._resume(job)
            return
        place = next((place for place in _places(job) if name.startswith(stem_of(job, *place))), None)
        if place is None:
            return
        if not _has(job, *place):
            data = await asyncio.to_thread(self._spool.find, name)
            found = await self._stored(job, *place, data)
            if found is not None:
                await self._writer.record_late(job.id, place[0], found[0])
        await asyncio.to_thread(self._spool.drop, name)

    async def _resume(self, job: Job) -> None:
        """Where a queued job sleeps because its pictures lie here, they go to the blob store, and it is woken."""
        own = await self.own_spool()
        rows = [row for row in ledger.open_rows(job) if row.spool == own]
        if job.status is not Status.QUEUED or not rows:
            return
        for call, index in ((row.call, index) for row in rows for index in row.indexes):
            _, data = await self._on_disk(job, call, index)
            await self._stored(job, call, index, data)
        with contextlib.suppress(Stale):
            await self._store.commit(job, moves.resume(job, now_ms(), own))

    async def _find_missing(self, job_id: str) -> bool:
        """Salvage what is there of a job that has ended without it; whether more may come."""
        job = await self._store.get(job_id)
        if job is None:
            return False
        for call, index in ledger.salvageable(job):
            name, data = await self._on_disk(job, call, index)
            found = await self._stored(job, call, index, data)
            if found is not None:
                await self._writer.record_late(job.id, call, found[0])
                if data is not None:
                    await asyncio.to_thread(self._spool.drop, name)
        newest = await self._store.get(job_id)
        young = now_ms() - (job.finished_ms or 0) < LOOK_FOR_MS
        return young and newest is not None and bool(ledger.salvageable(newest))

    async def _on_disk(self, job: Job, call: int, index: int) -> tuple[str, bytes | None]:
        """The picture as it came, and under which name; None where this machine's disk has nothing of it."""
        name = ""
        for name in names_of(job, call, index):
            data = await asyncio.to_thread(self._spool.find, name)
            if data is not None:
                return name, data
        return name, None

    async def _stored_in_time(
        self, job: Job, call: int, index: int, spooled: bytes | None
    ) -> tuple[Image, Warning_ | None] | None:
        """See `_stored`; a blob store that is down is waited for until the job is overdue: None then."""
        while True:
            try:
                return await self._stored(job, call, index, spooled)
            except BlobStoreDown:
                if job.overdue(now_ms()):  # what is on disk is salvaged later
                    return None
                await asyncio.sleep(PAUSE_SECONDS)

    async def _stored(
        self, job: Job, call: int, index: int, spooled: bytes | None
    ) -> tuple[Image, Warning_ | None] | None:
        """The picture as the blob store has it, by then: it is asked first, then given what was on disk."""
        for name in names_of(job, call, index):
            with contextlib.suppress(BlobMissing):
                data = await self._blobs.read(name)
                return self._writer.image(job, call, index, Picture(data=data, media_type="")), None
        if spooled is None:
            return None
        head = read_head(spooled)
        picture = Picture(data=spooled, media_type="" if head is None else head.media_type, index=index)
        warning = damage(picture, head)
        wanted = self._converter.wanted(job, call, picture)
        if wanted is not None:
            picture, warning = await self._converter.convert(picture, wanted)
        image = self._writer.image(job, call, index, picture)
        with contextlib.suppress(BlobExists):
            await self._blobs.put(image.blob, picture.data, image.media_type)
        return image, warning


def _places(job: Job) -> Iterator[tuple[int, int]]:
    """Each call with each index of its pictures."""
    return ((row.call, index) for row in job.attempts for index in row.indexes)


def _has(job: Job, call: int, index: int) -> bool:
    """Whether the job has this very picture; another call's does not count."""
    return not {image.blob for image in job.images}.isdisjoint(names_of(job, call, index))
