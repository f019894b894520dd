"""The pictures of jobs as they are stored: their links, and their bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from jobs.blobs.store import BlobMissing
from jobs.errors import NotFound
from jobs.model.job import Job

if TYPE_CHECKING:
    from jobs.blobs.links import OwnLinks
    from jobs.blobs.store import BlobInfo, BlobStore


class PictureReader:
    """Reads pictures and previews. Raises `errors.DarkroomError`, and `blobs.BlobMissing` where it says so."""

    def __init__(self, blobs: BlobStore, links: OwnLinks) -> None:
        self._blobs = blobs
        self._links = links

    def link(self, job: Job, index: int) -> str:
        """A fresh link to a picture of the job. Raises `NotFound`."""
        for image in job.images:
            if image.index == index:
                return self._blobs.link(image.blob)
        message = f"the job has no picture {index}"
        raise NotFound(message, field="index", jobId=job.id)

    def link_to(self, name: str) -> str:
        """A fresh link to a blob."""
        return self._blobs.link(name)

    async def info(self, name: str) -> BlobInfo:
        """What is stored under a blob's name. Raises `BlobMissing`."""
        return await self._blobs.info(name)

    def stream(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of a blob, in pieces. Raises `BlobMissing`."""
        return self._blobs.stream(name, start, length)

    async def read(self, url: str) -> bytes:
        """The bytes behind a link of ours: a picture's, or a preview's. Raises `NotFound` when they are not there."""
        try:
            return await self._blobs.read(self._links.name_of(url) or "")
        except BlobMissing:
            raise NotFound("there is no picture at this address") from None

    def fresh(self, url: str) -> str:
        """A link of ours anew, for the old one may have ended; a stranger's address as it is."""
        name = self._links.name_of(url)
        return self._blobs.link(name) if name else url
