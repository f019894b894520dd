"""Pictures that were paid for and that their job does not know of: looked for on disk and in the blob store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from jobs.blobs.store import BlobExists, BlobMissing, BlobRefused, BlobStoreDown
from jobs.model import moves
from jobs.model.picture import Image, Picture
from jobs.model.times import now_ms
from jobs.pictures.convert import converted_apart
from jobs.pictures.names import names_of, stem_of
from jobs.pictures.sniff import NotAPicture, measure
from jobs.store.outcomes import Stale
from jobs.worker.lease import PAUSE_SECONDS, LeasedJob

if TYPE_CHECKING:
    from jobs.blobs.spool import Spool
    from jobs.blobs.store import BlobStore
    from jobs.model.job import Job
    from jobs.model.request import Warning_
    from jobs.store.claims import Claims
    from jobs.store.jobs import RedisJobStore
    from jobs.worker.output_format import Converter
    from jobs.worker.results import ResultWriter

LOOK_AGAIN_MS: Final = 60_000
"""Between two looks for the same picture."""
LOOK_FOR_MS: Final = 600_000
"""How long a picture is sought whose call was open when its job ended: no call takes longer."""

_log = structlog.get_logger()
_Asked = TypeVar("_Asked")


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
        try:
            found = await self._stored(job.now, call, index, data)
        except BlobStoreDown:  # until the job was overdue: what is on disk is salvaged later
            return None
        if found is None:
            return None
        image, warning = found
        await self._writer.record(job, call, image, 0)
        if data is not None:
            await asyncio.to_thread(self._spool.drop, name)
        return warning

    async def salvage(self) -> None:
        """Bring what waits on disk to the blob store, when its job has ended without it."""
        for name in await asyncio.to_thread(self._spool.names):
            try:
                await self._salvage(name)
            except BlobStoreDown:
                return
            except (BlobRefused, NotAPicture) as error:
                _log.warning("spooled picture refused", blob=name, error=str(error))

    async def find_missing(self) -> None:
        """Look for pictures of calls that were open when their jobs ended: whoever made them may have died since."""
        for job_id in await self._claims.pending_salvage():
            try:
                again = await self._find_missing(job_id)
            except BlobStoreDown:
                return
            except (BlobRefused, NotAPicture) as error:
                _log.warning("sought picture not to be had", job=job_id, error=str(error))
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
        if not job.status.terminal:
            return  # a live job's picture is taken by whoever claims the job
        place = next((place for place in _places(job) if name.startswith(stem_of(job, *place))), None)
        if place is None:
            return
        if not _has(job, *place):
            data = await asyncio.to_thread(self._spool.find, name)
            found = await self._stored(job, *place, data)
            if found is not None:
                await self._record_late(job, place[0], found[0])
        await asyncio.to_thread(self._spool.drop, name)

    async def _find_missing(self, job_id: str) -> bool:
        """Salvage what is there of a job that has ended without it; whether more may come."""
        job = await self._store.get(job_id)
        if job is None:
            return False
        for call, index in moves.salvageable(job):
            name, data = await self._on_disk(job, call, index)
            found = await self._stored(job, call, index, data)
            if found is not None:
                await self._record_late(job, call, found[0])
                if data is not None:
                    await asyncio.to_thread(self._spool.drop, name)
        newest = await self._store.get(job_id)
        young = now_ms() - (job.finished_ms or 0) < LOOK_FOR_MS
        return young and newest is not None and bool(moves.salvageable(newest))

    async def _on_disk(self, job: Job, call: int, index: int) -> tuple[str, bytes | None]:
        """The picture as it came, and under which name; None where this machine's disk has nothing of it."""
        name = ""
        for name in names_of(job, call, index):
            data = await asyncio.to_thread(self._spool.find, name)
            if data is not None:
                return name, data
        return name, None

    async def _stored(
        self, job: Job, call: int, index: int, spooled: bytes | None
    ) -> tuple[Image, Warning_ | None] | None:
        """The picture as the blob store has it, by then: it is asked first, then given what was on disk."""
        for name in names_of(job, call, index):
            with contextlib.suppress(BlobMissing):
                data = await _patiently(job, partial(self._blobs.read, name))
                return self._writer.image(job, call, index, Picture(data=data, media_type="")), None
        if spooled is None:
            return None
        picture, warning = Picture(data=spooled, media_type=measure(spooled).media_type), None
        wanted = self._converter.wanted(job, call, picture)
        if wanted is not None:  # its worker may have died of this very picture
            picture, warning = await self._converter.convert(picture, wanted, converted_apart)
        image = self._writer.image(job, call, index, picture)
        with contextlib.suppress(BlobExists):
            await _patiently(job, partial(self._blobs.put, image.blob, picture.data, image.media_type))
        return image, warning

    async def _record_late(self, job: Job, call: int, image: Image) -> None:
        """A job that has ended says that it has the picture, whatever else happens to it."""
        newest: Job | None = job
        while newest is not None:
            try:
                await self._store.commit(newest, moves.salvage(newest, now_ms(), call, image))
            except Stale:
                newest = await self._store.get(job.id)
            except moves.MoveRefused:
                break
            else:
                return
        await self._writer.let_go(job.id, call, image)


async def _patiently(job: Job, ask: Callable[[], Awaitable[_Asked]]) -> _Asked:
    """Ask the blob store; one that is down is waited for while its job can wait. Raises `BlobStoreDown` then."""
    while True:
        try:
            return await ask()
        except BlobStoreDown:
            if job.status.terminal or job.overdue(now_ms()):
                raise
            await asyncio.sleep(PAUSE_SECONDS)


def _places(job: Job) -> Iterator[tuple[int, int]]:
    """Each call with each index of its pictures."""
    return ((row.call, index) for row in job.attempts for index in row.indexes)


def _has(job: Job, call: int, index: int) -> bool:
    """Whether the job has this very picture; another call's does not count."""
    return not {image.blob for image in job.images}.isdisjoint(names_of(job, call, index))
