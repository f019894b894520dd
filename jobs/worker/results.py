"""Pictures that were paid for, on their way to the blob store: stored before their job says so, found after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from msgspec import Struct
from msgspec.structs import replace

from jobs.blobs.store import BlobExists, BlobMissing, BlobRefused, BlobStoreDown
from jobs.catalog.families import native
from jobs.model import ledger, moves
from jobs.model.job import Job
from jobs.model.picture import Image, Picture
from jobs.model.request import Warning_
from jobs.model.times import now_ms
from jobs.pictures.convert import converted_apart
from jobs.pictures.names import names_of, stem_of
from jobs.pictures.sniff import EXTENSIONS, NotAPicture, measure
from jobs.providers.outcomes import bad_response
from jobs.store.outcomes import Fenced, Stale
from jobs.worker.lease import PAUSE_SECONDS, Held
from jobs.worker.output_format import BEST, CONVERTED_AT_ONCE, Convert, WantedFormat, in_a_thread

if TYPE_CHECKING:
    from jobs.blobs.expiry import Expiring
    from jobs.blobs.spool import Spool
    from jobs.blobs.store import BlobStore
    from jobs.catalog.families import Catalog
    from jobs.store.jobs import RedisJobStore

LOST_MS: Final = 86_400_000
"""How long a picture is kept that came after its job had gone to another worker."""
SEEK_AGAIN_MS: Final = 60_000
SOUGHT_MS: Final = 600_000
"""How long a picture is sought whose call was open when its job ended: no call takes longer."""
SPOOL_AFTER_SECONDS: Final = 2.0
"""An upload that takes longer than this has its bytes on disk meanwhile."""

_log = structlog.get_logger()


class Keeper:
    """Puts pictures into the blob store, by way of the spool on disk while that does not take them."""

    def __init__(
        self, *, store: RedisJobStore, blobs: BlobStore, spool: Spool, expiry: Expiring, catalog: Catalog
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._spool = spool
        self._expiry = expiry
        self._catalog = catalog
        self._converting = asyncio.Semaphore(CONVERTED_AT_ONCE)

    async def keep(self, job: Held, call: int, indexes: tuple[int, ...], picture: Picture) -> Warning_ | None:
        """Bytes first: they are in durable storage before the job says so. Each picture of an answer by itself.

        The warning is of a picture that could not be made what was asked for, and is kept as it came.
        """
        if picture.index >= len(indexes):
            return None  # one more than was asked for
        index = indexes[picture.index]
        try:
            image = self._image(job.now, call, index, picture)
        except NotAPicture as error:
            raise bad_response(f"the provider's bytes are no picture: {error}") from error
        original, warning = _Original(call=call, name=image.blob, data=picture.data), None
        wish = self._wish(job.now, call, picture)
        if wish is not None:
            await self._spool_bytes(job, original)  # others may be converted before it: that takes as long as it takes
            picture, warning = await self._made(picture, wish, in_a_thread)
            image = self._image(job.now, call, index, picture)
        begun = now_ms()
        await self._store_bytes(job, original, image, picture.data)
        try:
            await self._record(job, call, image, now_ms() - begun)
        except (Fenced, moves.MoveRefused):
            if await self._let_go(job.now.id, call, image):
                await self._drop(original)
            raise
        await self._drop(original)
        return warning

    async def recover(self, job: Held, call: int, index: int) -> Warning_ | None:
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
        await self._record(job, call, image, 0)
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

    async def seek(self) -> None:
        """Look for pictures of calls that were open when their jobs ended: whoever made them may have died since."""
        for job_id in await self._store.sought():
            try:
                again = await self._seek(job_id)
            except BlobStoreDown:
                return
            except (BlobRefused, NotAPicture) as error:
                _log.warning("sought picture not to be had", job=job_id, error=str(error))
                again = False
            await self._store.seek_again(job_id, now_ms() + SEEK_AGAIN_MS if again else None)

    async def own_spool(self) -> str:
        """The name of the spool on this machine's disk."""
        return await asyncio.to_thread(self._spool.name)

    def _wish(self, job: Job, call: int, picture: Picture) -> WantedFormat | None:
        """What is to be made of a picture: None where the provider made what was asked for by itself."""
        request, row = job.request, ledger.row_of(job, call)
        wanted = f"image/{request.output_format}"
        family = self._catalog.family(row.provider or request.provider, row.model or request.model)
        compressed = request.output_compression is not None and not native(request, family)
        if request.output_format is None or (picture.media_type == wanted and not compressed):
            return None
        return WantedFormat(wanted, BEST if request.output_compression is None else request.output_compression)

    async def _made(self, picture: Picture, wish: WantedFormat, how: Convert) -> tuple[Picture, Warning_ | None]:
        """The picture in the output format that was asked for; as it came, with a warning, where that fails."""
        try:
            async with self._converting:
                data = await how(picture.data, wish.media_type, wish.quality)
        except Exception as error:  # noqa: BLE001  # whatever the decoder makes of it: the bytes are paid for
            came, wanted = picture.media_type, wish.media_type
            _log.warning("picture kept as it came", wanted=wanted, error=str(error))
            message = f"outputFormat: the picture is {came}, as it came: it could not be made {wanted}"
            return picture, Warning_(code="ignored_option", field="outputFormat", message=message)
        return replace(picture, data=data, media_type=wish.media_type), None

    async def _record(self, job: Held, call: int, image: Image, upload_ms: int) -> None:
        """The job says that it has the picture; also one that has ended meanwhile."""
        try:
            await job.apply(partial(moves.checkpoint, image=image, upload_ms=upload_ms))
        except moves.MoveRefused:
            await job.apply(partial(moves.salvage, call=call, image=image))

    async def _let_go(self, job_id: str, call: int, image: Image) -> bool:
        """A picture that its bringer may not write into the job: whether it is nobody's, or there already.

        If not, whoever holds the job takes it, from the blob store or from the disk.
        """
        job = await self._store.get(job_id)
        if job is None:  # erased meanwhile
            await self._blobs.delete(image.blob)
            return True
        if not job.status.terminal and ledger.row_of(job, call).ended_ms is None:
            return False
        if image.blob not in {i.blob for i in job.images}:
            _log.warning("picture of a lost call, kept for a day", blob=image.blob)
            await self._expiry.add(now_ms() + LOST_MS, image.blob)
        return True

    async def _store_bytes(self, job: Held, original: _Original, image: Image, data: bytes) -> None:
        """Upload, for as long as it takes; while the blob store does not take them the bytes are on disk, too."""
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
                _log.warning("blob store down", error=error.message, spooled=original.spooled)
                if now_ms() >= job.now.cancel_at_ms:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return
            finally:
                upload.cancel()

    async def _spool_bytes(self, job: Held, original: _Original) -> None:
        """On disk, and its row says so, if that can be; neither a disk nor a lease that is lost ends the upload."""
        if original.spooled:
            return
        original.spooled = await asyncio.to_thread(self._spool.keep, original.name, job.now.id, original.data)
        if original.spooled:
            with contextlib.suppress(moves.MoveRefused, Fenced, OSError):
                await job.apply(partial(moves.spooled, call=original.call, spool=await self.own_spool()))

    async def _drop(self, original: _Original) -> None:
        if original.spooled:
            await asyncio.to_thread(self._spool.drop, original.name)

    def _image(self, job: Job, call: int, index: int, picture: Picture) -> Image:
        measured = measure(picture.data)
        name = f"{stem_of(job, call, index)}.{EXTENSIONS[measured.media_type]}"
        return Image(
            index=index,
            url=self._blobs.link(name),
            blob=name,
            media_type=measured.media_type,
            bytes=len(picture.data),
            sha256=hashlib.sha256(picture.data).hexdigest(),
            width=measured.width,
            height=measured.height,
            revised_prompt=picture.revised_prompt,
        )

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
                return self._image(job, call, index, Picture(data=data, media_type="")), None
        if spooled is None:
            return None
        picture, warning = Picture(data=spooled, media_type=measure(spooled).media_type), None
        wish = self._wish(job, call, picture)
        if wish is not None:  # its worker may have died of this very picture
            picture, warning = await self._made(picture, wish, converted_apart)
        image = self._image(job, call, index, picture)
        with contextlib.suppress(BlobExists):
            await _patiently(job, partial(self._blobs.put, image.blob, picture.data, image.media_type))
        return image, warning

    async def _seek(self, job_id: str) -> bool:
        """Salvage what is there of a job that has ended without it; whether more may come."""
        job = await self._store.get(job_id)
        if job is None:
            return False
        for call, index in moves.unseen(job):
            name, data = await self._on_disk(job, call, index)
            found = await self._stored(job, call, index, data)
            if found is not None:
                await self._record_late(job, call, found[0])
                if data is not None:
                    await asyncio.to_thread(self._spool.drop, name)
        newest = await self._store.get(job_id)
        young = now_ms() - (job.finished_ms or 0) < SOUGHT_MS
        return young and newest is not None and bool(moves.unseen(newest))

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
        await self._let_go(job.id, call, image)


class _Original(Struct):
    """A picture as it came; under this name it is on disk while the blob store has nothing of it yet."""

    call: int
    name: str
    data: bytes
    spooled: bool = False


_Asked = TypeVar("_Asked")


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
