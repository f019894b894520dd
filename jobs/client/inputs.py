"""Input pictures as they are handed in: checked, and those that came as bytes staged for the worker."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct

from jobs.blobs.store import BlobMissing
from jobs.errors import InvalidPicture
from jobs.model.request import STAGED, Blob, Link, Source
from jobs.model.times import now_ms
from jobs.outside.address import OutsideError, anywhere_policy, ascii_advice, check, parse, reference_policy
from jobs.pictures.gate import PNG_AND_JPEG, CleanPicture
from jobs.pictures.heads import EXTENSIONS

if TYPE_CHECKING:
    from jobs.blobs.expiry import BlobExpiry
    from jobs.blobs.links import OwnLinks
    from jobs.blobs.store import BlobStore
    from jobs.client.uploads import Uploads
    from jobs.pictures.decoding import Decoder
    from jobs.settings import Settings

ORPHAN_SECONDS: Final = 3_600
"""Staged pictures outlive their job's deadline by this, should nobody delete them at its end."""

_log = structlog.get_logger()
_NOT_FETCHED: Final = (
    "is no address that we fetch from: pass an https URL on an allowed host, or download the picture and send it as b64"
)

_NOT_PUBLIC: Final = "is no address that we fetch from: pass a public http or https URL, or send the picture itself"


class InputImage(Struct, frozen=True, kw_only=True):
    """A picture as a caller handed it in: an address, bytes, or the id of an uploaded file.

    `field` is its place in the body.
    """

    field: str
    media_type: str | None = None
    """As the caller declared it; None: no claim."""
    url: str | None = None
    data: bytes | None = None
    anywhere: bool = False
    """Whether any public host may be asked for the address, over http, too: else those of the allowlist."""
    file_id: str | None = None


class InputStager:
    """Checks and stages input pictures. `blobs` must be open before the first call."""

    def __init__(  # noqa: PLR0913  # the composition root hands over each part by name
        self,
        *,
        expiry: BlobExpiry,
        blobs: BlobStore,
        links: OwnLinks,
        uploads: Uploads,
        settings: Settings,
        decoder: Decoder,
    ) -> None:
        self._uploads = uploads
        self._expiry = expiry
        self._blobs = blobs
        self._links = links
        self._settings = settings
        self._decoder = decoder

    async def take(
        self, org: str, images: tuple[InputImage, ...], mask: InputImage | None, seconds: int, *, stage: bool = True
    ) -> tuple[tuple[Source, ...], Source | None]:
        """Check pictures as far as that goes without dialling, and `stage` those that came as bytes.

        `seconds` is how long their job lives at most. Raises `InvalidPicture` naming the field; nothing is
        stored then.
        """
        checked = [await self._checked(org, image, self._picture) for image in images]
        first = checked[0] if checked else None
        size = (first.width, first.height) if isinstance(first, CleanPicture) else None
        cut = None if mask is None else await self._checked(org, mask, lambda image: self._mask(image, size))
        if not stage:
            return tuple(map(_unstaged, checked)), None if cut is None else _unstaged(cut)
        until_ms = now_ms() + (seconds + ORPHAN_SECONDS) * 1000
        kept = tuple([await self._staged(org, picture, until_ms) for picture in checked])
        return kept, None if cut is None else await self._staged(org, cut, until_ms)

    async def _checked(
        self, org: str, image: InputImage, decode: Callable[[InputImage], Awaitable[CleanPicture]]
    ) -> CleanPicture | Source:
        if image.data is not None:
            return await decode(image)
        if image.file_id is not None:
            return await self._uploads.source(org, image.file_id, image.field)
        url = image.url or ""
        name = self._links.name_of(url)
        if name is not None:
            return await self._own(org, image, name)
        if image.media_type is not None and image.media_type not in PNG_AND_JPEG:
            message = f"must be {' or '.join(sorted(PNG_AND_JPEG, reverse=True))}"
            raise InvalidPicture(message, field=f"{image.field}.mimeType")
        anywhere = image.anywhere
        policy = anywhere_policy(self._settings) if anywhere else reference_policy(self._settings, self._blobs.host)
        try:
            check(parse(url), policy)
        except OutsideError as error:
            _log.info("address refused", field=image.field, rule=error.rule)
            told = f"{_NOT_PUBLIC if anywhere else _NOT_FETCHED}{ascii_advice(url)}"
            raise InvalidPicture(told, field=f"{image.field}.url") from None
        return Link(url, image.media_type or "", anywhere)

    async def _picture(self, image: InputImage) -> CleanPicture:
        return await self._decoder.picture(image.data or b"", image.media_type, field=image.field)

    async def _mask(self, image: InputImage, size: tuple[int, int] | None) -> CleanPicture:
        return await self._decoder.mask(image.data or b"", size, field=image.field)

    async def _own(self, org: str, image: InputImage, name: str) -> Blob:
        """A picture of ours: only the caller's own, and whether another org's exists is told to nobody."""
        missing = InvalidPicture("there is no picture of yours at this address", field=f"{image.field}.url")
        if not name.startswith(f"images/{org}/"):
            raise missing
        try:
            info = await self._blobs.info(name)
        except BlobMissing:
            raise missing from None
        if image.media_type not in {None, info.media_type}:
            message = f"the picture is {info.media_type}, not the declared {image.media_type}"
            raise InvalidPicture(message, field=f"{image.field}.mimeType")
        return Blob(name, info.media_type)

    async def _staged(self, org: str, picture: CleanPicture | Source, until_ms: int) -> Source:
        if not isinstance(picture, CleanPicture):
            return picture
        name = f"{STAGED}{org}/{uuid.uuid4()}.{EXTENSIONS[picture.media_type]}"
        await self._expiry.add(until_ms, name)
        await self._blobs.put(name, picture.data, picture.media_type)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(picture.data).hexdigest())
        return Blob(name, picture.media_type, digest)


def _unstaged(picture: CleanPicture | Source) -> Source:
    return Blob("", picture.media_type) if isinstance(picture, CleanPicture) else picture
