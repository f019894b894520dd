"""The pictures of jobs as files of whoever asked for them: private, linked to chats, known longer than their job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from jobs.errors import Gone, NotFound
from jobs.model.json import present
from jobs.model.times import now_ms
from jobs.pictures.heads import EXTENSIONS
from jobs.store.durations import DAY_MS, TOMB_MS
from jobs.store.records import Records

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.blobs.expiry import BlobExpiry
    from jobs.client.client import Jobs
    from jobs.model.job import Job
    from jobs.model.picture import Image
    from jobs.model.request import ImageRequest

MAX_LINKS: Final = 100
"""Chats that a file is linked to; the oldest links go."""


class ChatLink(Struct, frozen=True):
    """The message of a chat that a picture was asked for."""

    chat_id: str
    message_id: str | None = None


class File(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record. Times are Unix milliseconds; a deleted one stays, so that its job does not bring it back."""

    id: str
    org: str
    subject: str
    """Whose it is."""
    name: str
    blob: str
    media_type: str
    size: int
    """In bytes."""
    sha256: str
    asked: dict[str, Any]
    """What the picture was asked for with."""
    created_ms: int
    updated_ms: int
    links: tuple[ChatLink, ...] = ()
    """One a chat."""
    until_ms: int | None = None
    """When the picture goes; None: it stays."""
    deleted_ms: int | None = None


class Files:
    """The files of every org. Raises only `errors.DarkroomError`.

    A file's id is its job's, with the picture's index: what a caller who was cut never heard of is found by the job.
    """

    def __init__(self, redis: Redis, prefix: str, *, jobs: Jobs, expiry: BlobExpiry, picture_days: int | None) -> None:
        self._records = Records(redis, prefix, "file", File, lasting=lambda file: file.until_ms)
        self._jobs = jobs
        self._expiry = expiry
        self._picture_days = picture_days

    async def of_job(self, job: Job, link: ChatLink | None = None) -> list[File]:
        """The job's pictures as files, in their order, without those that were deleted; each linked to the chat."""
        files = await asyncio.gather(*(self._kept(self._new(job, image), link) for image in job.images))
        return [file for file in files if file.deleted_ms is None]

    async def get(self, org: str, file_id: str, reads: Callable[[str], bool]) -> File:
        """A file of the org; `reads` says whether the caller may read files of a subject. Raises `NotFound`."""
        file = await self._records.get(org, file_id)
        found = file or await self._of_its_job(org, file_id)
        if found is None or found.deleted_ms is not None or not reads(found.subject):
            raise NotFound("no such file")
        return found if file is not None else await self._kept(found, None)

    async def delete(self, file: File) -> None:
        """Delete the picture and what it was asked for with; its job keeps its record."""
        now = now_ms()
        told = {"asked": {}, "links": (), "deleted_ms": now, "updated_ms": now, "until_ms": now + TOMB_MS}
        await self._records.update(file.org, file.id, lambda known: replace(known, **told))
        await self._expiry.discard(file.blob)

    async def forget(self, job: Job) -> None:
        """Of a job that is erased no file is left."""
        for image in job.images:
            await self._records.delete(job.org, _id(job, image))

    async def _of_its_job(self, org: str, file_id: str) -> File | None:
        try:
            job = await self._jobs.get(org, _job_id(file_id))
        except (Gone, NotFound):
            return None
        return next((self._new(job, image) for image in job.images if _id(job, image) == file_id), None)

    async def _kept(self, new: File, link: ChatLink | None) -> File:
        """The file's record, which is written where there is none, or where the chat is not linked yet."""
        known = await self._records.get(new.org, new.id)
        if known is None:
            known = replace(new, links=() if link is None else (link,))
            await self._records.put(known)
            await self._require_job(known)
        elif link is not None and link not in known.links:
            known = await self._records.update(new.org, new.id, lambda file: _linked(file, link)) or known
        return known

    async def _require_job(self, file: File) -> None:
        """A job may have been erased since it was read: nothing of it is left then. Raises `Gone`."""
        try:
            await self._jobs.get(file.org, _job_id(file.id))
        except (Gone, NotFound):
            await self._records.delete(file.org, file.id)
            raise

    def _new(self, job: Job, image: Image) -> File:
        ended = job.finished_ms or job.created_ms
        name = "generated-image" if image.index == 0 else f"generated-image-{image.index + 1}"
        return File(
            id=_id(job, image),
            org=job.org,
            subject=job.subject,
            name=f"{name}.{EXTENSIONS.get(image.media_type) or image.media_type.rpartition('/')[2]}",
            blob=image.blob,
            media_type=image.media_type,
            size=image.bytes,
            sha256=image.sha256,
            asked=_asked(job.request),
            created_ms=ended,
            updated_ms=ended,
            until_ms=self._until(job, ended),
        )

    def _until(self, job: Job, ended: int) -> int | None:
        """When the job's pictures are deleted (`store/arguments.py` has them deleted then)."""
        if job.options.expires_after is not None:
            return job.expires_ms
        return None if self._picture_days is None else ended + self._picture_days * DAY_MS


def _asked(request: ImageRequest) -> dict[str, Any]:
    return present(
        prompt=request.prompt,
        model=request.model,
        size=request.size,
        n=request.n,
        steps=request.steps,
        negative_prompt=request.negative_prompt,
    )


def _id(job: Job, image: Image) -> str:
    return f"{job.id.replace('job_', 'file_', 1)}-{image.index}"


def _job_id(file_id: str) -> str:
    return file_id.replace("file_", "job_", 1).rpartition("-")[0]


def _linked(file: File, link: ChatLink) -> File:
    others = tuple(known for known in file.links if known.chat_id != link.chat_id)
    return replace(file, links=(*others, link)[-MAX_LINKS:], updated_ms=now_ms())
