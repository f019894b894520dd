"""The input pictures of a job, brought home when its provider is to see them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct

from jobs.blobs.store import BlobMissing, BlobStoreDown
from jobs.errors import InvalidPicture
from jobs.model.picture import Picture
from jobs.model.request import STAGED, Blob, ImageRequest, Link, Source, Warning_
from jobs.model.times import now_ms
from jobs.outside.address import anywhere_policy, reference_policy
from jobs.outside.client import Outside
from jobs.outside.fetch import NOT_FETCHED_ANYWHERE, fetch_picture
from jobs.pictures.sniff import ANY_PIXELS, measure

if TYPE_CHECKING:
    from jobs.blobs.store import BlobStore
    from jobs.catalog.families import Catalog
    from jobs.pictures.decoding import Decoder
    from jobs.settings import Settings
    from jobs.worker.lease import LeasedJob

PAUSE_SECONDS: Final = 1.0
"""Between two looks at a blob store that is down."""

_log = structlog.get_logger()


class LoadedInputs(Struct, frozen=True):
    """A request's input pictures in hand, fit to be sent."""

    images: tuple[Picture, ...] = ()
    mask: Picture | None = None
    warnings: tuple[Warning_, ...] = ()
    """Of what is sent otherwise than it was asked for."""


class InputLoader:
    """Reads input pictures from the blob store, or fetches them. `blobs` must be open before the first call."""

    def __init__(self, *, blobs: BlobStore, settings: Settings, decoder: Decoder, catalog: Catalog) -> None:
        self._blobs = blobs
        self._catalog = catalog
        self._settings = settings
        self._decoder = decoder

    async def load(self, request: ImageRequest) -> LoadedInputs:
        """Bring the request's pictures home. Raises `InvalidPicture`, `BlobStoreDown`."""
        several = len(request.images) > 1
        names = [f"referenceImages[{i}]" if several else "referenceImage" for i in range(len(request.images))]
        pairs = zip(request.images, names, strict=True)
        try:
            async with asyncio.TaskGroup() as loads:
                tasks = [loads.create_task(self._picture(source, name)) for source, name in pairs]
        except BaseExceptionGroup as several_failed:
            raise several_failed.exceptions[0] from None
        images = tuple(task.result() for task in tasks)
        mask = None if request.mask is None else await self._mask(request.mask, images[0])
        most = self._catalog.family(request.provider, request.model).reference_bytes(tuple(len(i.data) for i in images))
        fit = [await self._smaller(image, most, name) for image, name in zip(images, names, strict=True)]
        warnings = [_smaller(*each) for each in zip(images, fit, names, strict=True) if each[0] is not each[1]]
        return LoadedInputs(tuple(fit), mask, tuple(warnings))

    async def _picture(self, source: Source, field: str) -> Picture:
        data = await self._bytes(source, field)
        if isinstance(source, Blob) and source.name.startswith(STAGED):
            return Picture(data=data, media_type=source.media_type)
        if isinstance(source, Blob):
            clean = await self._decoder.own(data, field=field)
        else:
            clean = await self._decoder.picture(data, source.media_type, field=field)
        return Picture(data=clean.data, media_type=clean.media_type)

    async def _smaller(self, image: Picture, most_bytes: int | None, field: str) -> Picture:
        if most_bytes is None or len(image.data) <= most_bytes:
            return image
        fit = await self._decoder.smaller(image.data, most_bytes, field=field)
        _log.info("reference image made smaller", field=field, bytes=len(image.data), now=len(fit.data))
        return Picture(data=fit.data, media_type=fit.media_type)

    async def _mask(self, source: Source, reference: Picture) -> Picture:
        size = measure(reference.data, ANY_PIXELS)
        data = await self._bytes(source, "mask")
        clean = await self._decoder.mask(data, (size.width, size.height), field="mask")
        return Picture(data=clean.data, media_type=clean.media_type)

    async def _bytes(self, source: Source, field: str) -> bytes:
        match source:
            case Blob(name=name):
                try:
                    return await self._blobs.read(name)
                except BlobMissing:
                    raise InvalidPicture("the picture is no longer there", field=field) from None
            case Link():
                try:
                    return await self._fetched(source)
                except InvalidPicture as error:
                    raise InvalidPicture(error.message, field=f"{field}.url") from None

    async def _fetched(self, link: Link) -> bytes:
        if link.anywhere:
            return await fetch_picture(Outside(anywhere_policy(self._settings)), link.url, refusal=NOT_FETCHED_ANYWHERE)
        return await fetch_picture(Outside(reference_policy(self._settings, self._blobs.host)), link.url)


def _smaller(came: Picture, sent: Picture, field: str) -> Warning_:
    size = measure(sent.data)
    sent_as = f"{sent.media_type} of {size.width}x{size.height} pixels, {len(sent.data)} bytes"
    message = f"{field}: its {len(came.data)} bytes are more than the model takes, which was sent {sent_as}"
    return Warning_(code="adjusted_reference", field=field, message=message)


async def loaded_in_time(inputs: InputLoader, job: LeasedJob) -> LoadedInputs:
    """A job's pictures; a blob store that is down is waited for, to its deadline. Raises `InvalidPicture`."""
    while True:
        try:
            return await inputs.load(job.now.request)
        except BlobStoreDown:
            if job.now.overdue(now_ms()):
                raise InvalidPicture("the picture could not be read in time", field="referenceImage") from None
            await asyncio.sleep(PAUSE_SECONDS)
