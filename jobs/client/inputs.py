"""Input pictures: checked and staged when they are handed in, loaded when the provider is to see them."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from msgspec import Struct

from jobs.blobs.store import BlobMissing, own_name
from jobs.errors import DarkroomError, InvalidPicture
from jobs.model.picture import Picture
from jobs.model.request import STAGED, Blob, ImageRequest, Link, Source
from jobs.model.times import now_ms
from jobs.outside.address import OutsideError, check, parse, reference_policy
from jobs.outside.client import Outside
from jobs.outside.fetch import fetch_picture
from jobs.pictures.gate import PNG_AND_JPEG, Admitted, admit, admit_mask
from jobs.pictures.sniff import EXTENSIONS, NotAPicture, measure
from jobs.worker.inputs import Loaded

if TYPE_CHECKING:
    from jobs.blobs.expiry import Expiring
    from jobs.blobs.store import BlobStore
    from jobs.outside.address import Policy
    from jobs.settings import Settings

AT_ONCE: Final = 2
"""Pictures that one process decodes at a time: each may take 200 MB."""
ORPHAN_SECONDS: Final = 3_600
"""Staged pictures outlive their job's deadline by this, should nobody delete them at its end."""
ANY: Final = frozenset(EXTENSIONS)
"""What is taken where a face lets its callers say nothing of the media type."""
T = TypeVar("T")

_log = structlog.get_logger()


class Given(Struct, frozen=True, kw_only=True):
    """A picture as a caller handed it in: an address, or bytes. `field` is its place in the body."""

    field: str
    media_type: str | None = None
    """As the caller declared it; None: no claim."""
    url: str | None = None
    data: bytes | None = None


class Inputs:
    """Both ends of an input picture's way. `blobs` must be open before the first call."""

    def __init__(self, *, expiring: Expiring, blobs: BlobStore, settings: Settings) -> None:
        self._expiring = expiring
        self._blobs = blobs
        self._settings = settings
        self._decoding = asyncio.Semaphore(AT_ONCE)
        self._bases = settings.own_bases()
        self._known_policy: Policy | None = None

    async def take(
        self, org: str, images: tuple[Given, ...], mask: Given | None, seconds: int, *, stage: bool = True
    ) -> tuple[tuple[Source, ...], Source | None]:
        """Check pictures as far as that goes without dialling, and `stage` those that came as bytes.

        `seconds` is how long their job lives at most. Raises `InvalidPicture` naming the field; nothing is
        stored then.
        """
        checked = [await self._checked(org, given, self._admitted) for given in images]
        first = checked[0] if checked else None
        size = (first.width, first.height) if isinstance(first, Admitted) else None
        cut = None if mask is None else await self._checked(org, mask, lambda given: self._admitted_mask(given, size))
        if not stage:
            return tuple(map(_seen, checked)), None if cut is None else _seen(cut)
        until_ms = now_ms() + (seconds + ORPHAN_SECONDS) * 1000
        kept = tuple([await self._kept(org, picture, until_ms) for picture in checked])
        return kept, None if cut is None else await self._kept(org, cut, until_ms)

    async def load(self, request: ImageRequest) -> Loaded:
        """Bring the request's pictures home. Raises `InvalidPicture`, `BlobStoreDown`."""
        several = len(request.images) > 1
        names = [f"referenceImages[{i}]" if several else "referenceImage" for i in range(len(request.images))]
        pairs = zip(request.images, names, strict=True)
        try:
            async with asyncio.TaskGroup() as loads:
                tasks = [loads.create_task(self._loaded(source, name)) for source, name in pairs]
        except BaseExceptionGroup as several_failed:
            raise several_failed.exceptions[0] from None
        images = tuple(task.result() for task in tasks)
        if request.mask is None:
            return Loaded(images)
        reference = measure(images[0].data)
        data = await self._bytes(request.mask, "mask")
        given = Given(field="mask", data=data)
        mask = await self._admitted_mask(given, (reference.width, reference.height))
        return Loaded(images, Picture(data=mask.data, media_type=mask.media_type))

    async def discard(self, *names: str) -> None:
        """Delete blobs; what cannot be deleted now is swept later."""
        if not names:
            return
        try:
            for name in names:
                await self._blobs.delete(name)
            await self._expiring.forget(*names)
        except DarkroomError as error:
            _log.warning("blobs stay for now", error=str(error))

    async def discard_at(self, at_ms: int, *names: str) -> None:
        """Delete blobs at a time, whether they are there or not. Raises `ServiceUnavailable`."""
        if names:
            await self._expiring.add(at_ms, *names)

    async def sweep(self) -> None:
        """Delete blobs whose time has come: staged inputs, and pictures past their retention."""
        await self.discard(*await self._expiring.due())

    def own_name(self, url: str) -> str | None:
        """The blob that a URL of ours names (`""`: none can be there); None for a stranger's."""
        container = self._settings.azure_storage_container
        names = [self._blobs.name_of(url), *(own_name(url, f"{base}/{container}") for base in self._bases)]
        return next((name for name in names if name is not None), None)

    async def _checked(
        self, org: str, given: Given, admitted: Callable[[Given], Awaitable[Admitted]]
    ) -> Admitted | Source:
        if given.data is not None:
            return await admitted(given)
        url = given.url or ""
        name = self.own_name(url)
        if name is not None:
            return await self._chained(org, given, name)
        try:
            check(parse(url), self._policy)
        except OutsideError as error:
            _log.info("address refused", field=given.field, rule=error.rule)
            raise InvalidPicture(_NOT_FETCHED, field=f"{given.field}.url") from None
        return Link(url, given.media_type or "")

    async def _chained(self, org: str, given: Given, name: str) -> Blob:
        """A picture of ours: only the caller's own, and whether another org's exists is told to nobody."""
        missing = InvalidPicture("there is no picture of yours at this address", field=f"{given.field}.url")
        if not name.startswith(f"images/{org}/"):
            raise missing
        try:
            info = await self._blobs.info(name)
        except BlobMissing:
            raise missing from None
        if given.media_type not in {None, info.media_type}:
            message = f"the picture is {info.media_type}, not the declared {given.media_type}"
            raise InvalidPicture(message, field=f"{given.field}.mimeType")
        return Blob(name, info.media_type)

    async def _kept(self, org: str, picture: Admitted | Source, until_ms: int) -> Source:
        if not isinstance(picture, Admitted):
            return picture
        name = f"{STAGED}{org}/{uuid.uuid4()}.{EXTENSIONS[picture.media_type]}"
        await self._expiring.add(until_ms, name)
        await self._blobs.put(name, picture.data, picture.media_type)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(picture.data).hexdigest())
        return Blob(name, picture.media_type, digest)

    async def _loaded(self, source: Source, field: str) -> Picture:
        data = await self._bytes(source, field)
        if isinstance(source, Blob) and source.name.startswith(STAGED):
            return Picture(data=data, media_type=source.media_type)
        admitted = await self._admitted(Given(field=field, media_type=source.media_type or None, data=data))
        return Picture(data=admitted.data, media_type=admitted.media_type)

    async def _bytes(self, source: Source, field: str) -> bytes:
        match source:
            case Blob(name=name):
                try:
                    return await self._blobs.read(name)
                except BlobMissing:
                    raise InvalidPicture("the picture is no longer there", field=field) from None
            case Link(url=url):
                try:
                    return await fetch_picture(Outside(self._policy), url)
                except InvalidPicture as error:
                    raise InvalidPicture(error.message, field=f"{field}.url") from None

    async def _admitted(self, given: Given) -> Admitted:
        taken = PNG_AND_JPEG if given.media_type else ANY
        return await self._decoded(given, lambda data: admit(data, given.media_type, taken))

    async def _admitted_mask(self, given: Given, size: tuple[int, int] | None) -> Admitted:
        return await self._decoded(given, lambda data: admit_mask(data, size))

    async def _decoded(self, given: Given, gate: Callable[[bytes], T]) -> T:
        async with self._decoding:
            try:
                return await asyncio.to_thread(gate, given.data or b"")
            except NotAPicture as error:
                raise InvalidPicture(str(error), field=given.field) from None

    @property
    def _policy(self) -> Policy:
        if self._known_policy is None:
            self._known_policy = reference_policy(self._settings, self._blobs.host)
        return self._known_policy


def _seen(picture: Admitted | Source) -> Source:
    return Blob("", picture.media_type) if isinstance(picture, Admitted) else picture


_NOT_FETCHED: Final = (
    "is no address that we fetch from: pass an https URL on an allowed host, or download the picture and send it as b64"
)
