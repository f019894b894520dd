"""Uploaded files: pictures that an org keeps here to name them in its requests, each a record and a blob."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jobs.errors import InvalidPicture, NotFound
from jobs.ids import new_id
from jobs.model.request import Blob
from jobs.model.times import now_ms
from jobs.pictures.heads import EXTENSIONS
from jobs.pictures.sniff import sniff
from jobs.store.records import Records

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.blobs.expiry import BlobExpiry
    from jobs.blobs.store import BlobStore
    from jobs.pictures.decoding import Decoder

UPLOADS: Final = "uploads/"
"""Below this, blobs are uploaded files: no link leads to them."""
LATE_MS: Final = 90_000_000
"""The bytes of a file that is gone stay for so long: a job that named it may be a day in the queue."""
MAX_NAME_LENGTH: Final = 255
_MAX_READ: Final = 1_000
"""Records that one list request may look at."""


class Upload(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of an uploaded picture. Times are Unix milliseconds."""

    id: str
    org: str
    blob: str
    media_type: str
    bytes: int
    sha256: str
    filename: str
    purpose: str
    created_ms: int
    expires_ms: int | None = None
    """None: it is kept until it is deleted."""


class Uploads:
    """The uploaded files of every org. `blobs` must be open before the first call. Raises `errors.DarkroomError`."""

    def __init__(self, redis: Redis, prefix: str, *, blobs: BlobStore, expiry: BlobExpiry, decoder: Decoder) -> None:
        self._blobs = blobs
        self._expiry = expiry
        self._decoder = decoder
        self._records = Records(redis, prefix, "upload", Upload, lasting=lambda upload: upload.expires_ms)

    async def add(self, org: str, data: bytes, *, filename: str, purpose: str, seconds: int | None) -> Upload:
        """Keep a picture for the org, as it came. `seconds`: how long; None: until it is deleted.

        Raises `InvalidPicture` for bytes that no request could use. The blob is to be deleted before it is written:
        what a crash leaves without a record does not stay.
        """
        await self._decoder.picture(data, None, field="file")
        media_type = sniff(data[:12]) or ""
        now = now_ms()
        upload = Upload(
            id=new_id("file").replace("_", "-", 1),
            org=org,
            blob=f"{UPLOADS}{org}/{uuid.uuid4()}.{EXTENSIONS[media_type]}",
            media_type=media_type,
            bytes=len(data),
            sha256=await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest()),
            filename=filename[:MAX_NAME_LENGTH] or f"file.{EXTENSIONS[media_type]}",
            purpose=purpose,
            created_ms=now,
            expires_ms=None if seconds is None else now + seconds * 1000,
        )
        await self._expiry.add((upload.expires_ms or now) + LATE_MS, upload.blob)
        await self._blobs.put(upload.blob, data, media_type)
        await self._records.put(upload)
        if upload.expires_ms is None:
            await self._expiry.keep(upload.blob)
        return upload

    async def get(self, org: str, upload_id: str) -> Upload:
        """One file of the org. Raises `NotFound`."""
        upload = await self._records.get(org, upload_id)
        if upload is None:
            raise NotFound("no such file")
        return upload

    async def page(
        self, org: str, after: str | None, limit: int, fits: Callable[[Upload], bool], *, oldest_first: bool = False
    ) -> tuple[list[Upload], bool]:
        """At most `limit` files that fit, beyond the id `after`, and whether there may be more.

        Reads at most `_MAX_READ` records.
        """
        found: list[Upload] = []
        for _ in range(0, _MAX_READ, limit):
            records, after = await self._records.page(org, after, limit, oldest_first=oldest_first)
            found += filter(fits, records)
            if len(found) > limit or after is None:
                break
        return found[:limit], bool(found) and (len(found) > limit or after is not None)

    async def delete(self, org: str, upload_id: str) -> None:
        """Forget a file at once; its bytes go when no job can need them any more. Raises `NotFound`."""
        upload = await self.get(org, upload_id)
        await self._expiry.add(now_ms() + LATE_MS, upload.blob)
        await self._records.delete(org, upload_id)

    async def source(self, org: str, upload_id: str, field: str) -> Blob:
        """The file as an input picture. Raises `InvalidPicture` below `field`, in the same words for another org's."""
        upload = await self._records.get(org, upload_id)
        if upload is None:
            raise InvalidPicture("there is no file of yours of this id", field=f"{field}.fileId", reason="no_such_file")
        return Blob(upload.blob, upload.media_type, upload.sha256)
