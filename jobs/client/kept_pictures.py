"""Pictures that a caller uploads, to name them in later requests by an address of ours."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

from jobs.model.times import now_ms
from jobs.pictures.heads import EXTENSIONS
from jobs.store.durations import DAY_MS

if TYPE_CHECKING:
    from jobs.blobs.expiry import BlobExpiry
    from jobs.blobs.store import BlobStore
    from jobs.pictures.decoding import Decoder
    from jobs.settings import Settings

MAX_STEM_LENGTH: Final = 64


class KeptPictures:
    """Keeps pictures beside those that were made, and as long. `blobs` must be open before the first call."""

    def __init__(self, *, expiry: BlobExpiry, blobs: BlobStore, decoder: Decoder, settings: Settings) -> None:
        self._expiry = expiry
        self._blobs = blobs
        self._decoder = decoder
        self._days = settings.picture_days

    async def keep(self, org: str, filename: str, data: bytes) -> str:
        """The address of a picture that is kept under its name. Raises `InvalidPicture`, `BlobStoreDown`.

        The time and a number are before the name, so that none is taken; its ending is by what the picture is.
        """
        picture = await self._decoder.picture(data, None, field="file")
        now = now_ms()
        name = f"images/{org}/uploads/{now}-{secrets.token_hex(8)}-{_stem(filename)}.{EXTENSIONS[picture.media_type]}"
        if self._days is not None:
            await self._expiry.add(now + self._days * DAY_MS, name)
        await self._blobs.put(name, picture.data, picture.media_type)
        return self._blobs.link(name)


def _stem(filename: str) -> str:
    """A file's name without folders and ending, in letters that an address may have."""
    last = re.split(r"[/\\]", filename)[-1]
    stem = last.rpartition(".")[0] or last
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem)[:MAX_STEM_LENGTH].strip("-") or "picture"
