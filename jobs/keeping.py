"""Pictures that were paid for, on their way to the blob store: stored before their job says so, found after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from msgspec.structs import replace

from jobs import moves
from jobs.blobs import BlobExists, BlobMissing, BlobRefused, BlobStoreDown
from jobs.catalog import native
from jobs.held import PAUSE_SECONDS, Held
from jobs.model import Image, Job, Picture, Warning_, now_ms
from jobs.pictures import EXTENSIONS, NotAPicture, converted, measure
from jobs.providers.outcomes import bad_response
from jobs.store import Fenced, Stale

if TYPE_CHECKING:
    from jobs.blobs import BlobStore
    from jobs.catalog import Catalog
    from jobs.expiring import Expiring
    from jobs.spool import Spool
    from jobs.store import RedisJobStore

LOST_MS: Final = 86_400_000
"""How long a picture is kept that came after its job had gone to another worker."""
SEEK_AGAIN_MS: Final = 60_000
SOUGHT_MS: Final = 600_000
"""How long a picture is sought whose call was open when its job ended: no call takes longer."""
SPOOL_AFTER_SECONDS: Final = 2.0
"""An upload that takes longer than this has its bytes on disk meanwhile."""
CONVERTED_AT_ONCE: Final = 2
"""Pictures that one process converts at a time: each may take 400 MB."""
BEST: Final = 100
"""The quality of a picture whose request names no compression, as OpenAI documents it."""

_log = structlog.get_logger()


class Keeper:
    """Puts pictures into the blob store, by way of the spool on disk while that does not take them."""

    def __init__(
        self, *, store: RedisJobStore, blobs: BlobStore, spool: Spool, expiring: Expiring, catalog: Catalog
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._spool = spool
        self._expiring = expiring
        self._catalog = catalog
        self._converting = asyncio.Semaphore(CONVERTED_AT_ONCE)

    async def keep(self, job: Held, call: int, indexes: tuple[int, ...], picture: Picture) -> Warning_ | None:
        """Bytes first: they are in durable storage before the job says so. Each picture of an answer by itself.

        The warning is of a picture that could not be made what was asked for, and is kept as it came.
        """
        if picture.index >= len(indexes):
            return None  # one more than was asked for
        picture, warning = await self._as_asked(job.now, call, picture)
        begun, index = now_ms(), indexes[picture.index]
        try:
            image = self._image(job.now, call, index, picture)
        except NotAPicture as error:
            raise bad_response(f"the provider's bytes are no picture: {error}") from error
        await self._store_bytes(job, call, image, picture.data)
        try:
            try:
                await job.apply(lambda j, now: moves.checkpoint(j, now, image, now - begun))
            except moves.MoveRefused:
                await job.apply(lambda j, now: moves.salvage(j, now, call, image))
        except Fenced:
            await self._let_go(job.now.id, call, image)
            raise
        return warning

    async def find(self, job: Job, call: int, index: int) -> Image | None:
        """The picture of a call whose end nobody saw: in the blob store, or on this machine's disk.

        A blob store that is down is waited for until the job's deadline.
        """
        while True:
            try:
                return await self._look(job, call, index)
            except BlobStoreDown:
                if job.overdue(now_ms()):
                    return None
                await asyncio.sleep(PAUSE_SECONDS)

    async def salvage(self) -> None:
        """Bring what waits on disk to the blob store, when its job has ended without it."""
        for name in await asyncio.to_thread(self._spool.names):
            try:
                await self._salvage(name)
            except BlobStoreDown:
                return
            except BlobRefused as error:
                _log.warning("spooled picture refused", blob=name, error=error.message)

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

    async def _as_asked(self, job: Job, call: int, picture: Picture) -> tuple[Picture, Warning_ | None]:
        """The picture in the output format that was asked for, where the provider did not make it so by itself."""
        request, row = job.request, moves.row_of(job, call)
        wanted = f"image/{request.output_format}"
        family = self._catalog.family(row.provider or request.provider, row.model or request.model)
        compressed = request.output_compression is not None and not native(request, family)
        if request.output_format is None or (picture.media_type == wanted and not compressed):
            return picture, None
        quality = BEST if request.output_compression is None else request.output_compression
        try:
            async with self._converting:
                data = await asyncio.to_thread(converted, picture.data, wanted, quality)
        except Exception as error:  # noqa: BLE001  # whatever the decoder makes of it: the bytes are paid for
            _log.warning("picture kept as it came", wanted=wanted, error=str(error))
            message = f"outputFormat: the picture is {picture.media_type}, as it came: it could not be made {wanted}"
            return picture, Warning_(code="ignored_option", field="outputFormat", message=message)
        return replace(picture, data=data, media_type=wanted), None

    async def _let_go(self, job_id: str, call: int, image: Image) -> None:
        """A picture came to a worker that has lost its job: it may change nothing, and the picture is nobody's."""
        job = await self._store.get(job_id)
        if job is None:  # erased meanwhile
            await self._blobs.delete(image.blob)
        elif moves.row_of(job, call).ended_ms is not None and image.blob not in {i.blob for i in job.images}:
            _log.warning("picture of a lost call, kept for a day", blob=image.blob)
            await self._expiring.add(now_ms() + LOST_MS, image.blob)

    async def _store_bytes(self, job: Held, call: int, image: Image, data: bytes) -> None:
        """Upload, for as long as it takes; while the blob store does not take them the bytes are on disk, too."""
        spooled = False
        while True:
            upload = asyncio.create_task(self._blobs.put(image.blob, data, image.media_type))
            try:
                await asyncio.wait([upload], timeout=SPOOL_AFTER_SECONDS)
                if not spooled and (not upload.done() or isinstance(upload.exception(), BlobStoreDown)):
                    spooled = await self._spool_bytes(job, call, image, data)
                await upload
            except BlobExists:
                break
            except BlobStoreDown as error:
                _log.warning("blob store down", error=error.message, spooled=spooled)
                if now_ms() >= job.now.cancel_at_ms:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                break
            finally:
                upload.cancel()
        if spooled:
            await asyncio.to_thread(self._spool.drop, image.blob)

    async def _spool_bytes(self, job: Held, call: int, image: Image, data: bytes) -> bool:
        if not await asyncio.to_thread(self._spool.keep, image.blob, job.now.id, data):
            return False
        with contextlib.suppress(moves.MoveRefused):
            await job.apply(partial(moves.spooled, call=call, spool=await self.own_spool()))
        return True

    def _image(self, job: Job, call: int, index: int, picture: Picture) -> Image:
        measured = measure(picture.data)
        name = f"{_stem(job, call, index)}.{EXTENSIONS[measured.media_type]}"
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

    async def _look(self, job: Job, call: int, index: int) -> Image | None:
        for extension in EXTENSIONS.values():
            data = await self._stored(f"{_stem(job, call, index)}.{extension}")
            if data is not None:
                return self._image(job, call, index, Picture(data=data, media_type=""))
        return None

    async def _stored(self, name: str) -> bytes | None:
        """The bytes, which are in the blob store by then."""
        spooled = await asyncio.to_thread(self._spool.find, name)
        if spooled is not None:
            await self._upload(name, spooled)
            return spooled
        try:
            return await self._blobs.read(name)
        except BlobMissing:
            return None

    async def _seek(self, job_id: str) -> bool:
        """Salvage what is there of a job that has ended without it; whether more may come."""
        job = await self._store.get(job_id)
        if job is None:
            return False
        for call, index in moves.unseen(job):
            image = await self._look(job, call, index)
            if image is not None:
                try:
                    job = await self._store.commit(job, moves.salvage(job, now_ms(), call, image))
                except Stale:  # somebody else was first: the next look knows
                    return True
        return bool(moves.unseen(job)) and now_ms() - (job.finished_ms or 0) < SOUGHT_MS

    async def _upload(self, name: str, data: bytes) -> None:
        with contextlib.suppress(BlobExists):
            await self._blobs.put(name, data, measure(data).media_type)
        await asyncio.to_thread(self._spool.drop, name)

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
        data = await asyncio.to_thread(self._spool.find, name)
        if data is None:
            return
        for row in job.attempts:
            for index in row.indexes:
                if name.startswith(_stem(job, row.call, index)):
                    image = self._image(job, row.call, index, Picture(data=data, media_type=""))
                    await self._upload(name, data)
                    with contextlib.suppress(moves.MoveRefused, Stale):
                        await self._store.commit(job, moves.salvage(job, now_ms(), row.call, image))


def _stem(job: Job, call: int, index: int) -> str:
    day = datetime.fromtimestamp(job.created_ms / 1000, UTC).date().isoformat()
    return f"images/{job.org}/{day}/{uuid.uuid5(_NAMES, f'{job.id}/{call}/{index}')}"


_NAMES: Final = uuid.UUID("5b0d7a53-9f1e-5d7c-8c55-6d9a7a3f2b10")
"""The UUIDv5 namespace (RFC 9562) of our pictures: a call of a job names each of its pictures for good."""
