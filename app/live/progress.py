"""How far a job is, in the words that sockets and server-sent events share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pybase64
import structlog
from msgspec import Struct

from jobs.errors import DarkroomError, Gone, JobCanceled, NotFound, ServiceUnavailable, TimedOut
from jobs.model.job import Job, Status
from jobs.model.json import failure_json, warnings_json

if TYPE_CHECKING:
    from app.services import Services
    from jobs.client.client import Jobs

SILENCE_SECONDS: Final = 15.0
"""After so long without news a follower hears that there are none: a stream sends a ping then."""
TICK_SECONDS: Final = 1.5
"""How often an estimate is told while the provider says nothing."""
RETRY_SECONDS: Final = 1.0
MAX_PREVIEW_BYTES: Final = 4 * 1024 * 1024
"""A larger preview is told by its address alone."""
PREVIEW: Final = "image.job.preview"
_OF_PREVIEWS: Final = frozenset({"preview_url", "preview_b64", "n_index", "partial_index", "mime_type"})

_log = structlog.get_logger()


class Message(Struct, frozen=True):
    """One thing to tell: `name` is `progress`, `completed` or `failed`."""

    name: str
    data: dict[str, Any]

    @property
    def last(self) -> bool:
        """Whether nothing is told of the job after it."""
        return self.name != "progress"


async def follow(services: Services, job: Job) -> AsyncGenerator[Message | None, None]:
    """What there is to tell of a job: how it stands, then each change, `completed` or `failed` last.

    None: nothing was heard of it for `SILENCE_SECONDS`. Ends without a last message when this process stops.
    """
    told = ProgressTracker(services, job)
    while True:
        for message in await told.messages():
            yield message
        if told.job.status.terminal or services.jobs.closing:
            return
        change = asyncio.ensure_future(_newer(services.jobs, told.job))
        try:
            while not change.done():
                await asyncio.wait({change}, timeout=TICK_SECONDS if told.estimated else None)
                if not change.done() and (estimate := await told.grown()) is not None:
                    yield estimate
            newer = change.result()
        except (NotFound, Gone) as error:
            yield failed(told.job, error)
            return
        finally:
            change.cancel()
        if newer.version == told.job.version:
            yield None
        told.job = newer


def without_preview(message: Message) -> Message:
    """The same, without the preview that it may have brought: those bytes are not kept."""
    return Message(message.name, {name: value for name, value in message.data.items() if name not in _OF_PREVIEWS})


async def message_now(services: Services, job: Job) -> Message:
    """The one message that says how a job stands just now."""
    return ended(job) or await ProgressTracker(services, job).now()


def ended(job: Job) -> Message | None:
    """The last message of a job; None: it goes on."""
    if job.status is Status.SUCCEEDED:
        return _completed(job)
    return failed(job) if job.status.terminal else None


class ProgressTracker:
    """A job and how far it was told to be: the percentage only ever grows, whoever it is known from."""

    def __init__(self, services: Services, job: Job) -> None:
        self.job = job
        self._services = services
        self._percent = 0.0
        self._source = "none"
        self._steps: dict[str, Any] = {"step": None, "total_steps": None}
        self._told: dict[str, Any] = {}
        self._seen = 0

    @property
    def estimated(self) -> bool:
        """Whether it is under way and its provider does not say how far."""
        return self.job.status is Status.RUNNING and self.job.progress is None

    async def messages(self) -> list[Message]:
        """What is new since the last time: the end, previews, or the job itself; nothing when it is as it was told."""
        if (end := ended(self.job)) is not None:
            return [end]
        before = self._told
        message = await self.now()
        previews = [Message("progress", {**message.data, **preview}) for preview in await self._previews()]
        return previews or ([] if message.data == before else [message])

    async def now(self) -> Message:
        """The job as it stands, unless it has ended."""
        await self._advance()
        self._told = self._shown()
        return Message("progress", self._told)

    async def grown(self) -> Message | None:
        """The job with an estimate that is beyond what was told; None: none is."""
        before = self._percent
        message = await self.now()
        return message if self._percent > before else None

    async def _advance(self) -> None:
        """Take in how far the job is; a number below one that was told is left out, and with it where it is from."""
        if self.job.status is not Status.RUNNING:
            return
        now = await self._services.estimates.progress(self.job)
        percent = round(100 * now["value"], 1)
        if percent >= self._percent:
            self._percent, self._source = percent, now["source"]
        self._steps = {"step": now.get("step"), "total_steps": now.get("steps")}

    def _shown(self) -> dict[str, Any]:
        return {
            **_about(self.job),
            "model": self.job.request.model,
            "provider": self.job.request.provider,
            "status": str(self.job.status),
            "progress": self._percent,
            "source": self._source,
            **self._steps,
        }

    async def _previews(self) -> list[dict[str, Any]]:
        """The newest preview of each picture since the last time; the bytes are read once for all who hear of it."""
        if self.job.started_ms is None:
            return []
        try:
            events = await self._services.jobs.events(self.job, self._seen)
        except ServiceUnavailable:
            return []
        newest: dict[int, Mapping[str, Any]] = {}
        for event in events:
            self._seen = event["sequence"]
            if event["type"] == PREVIEW:
                newest[event["data"]["preview"]["index"]] = event["data"]["preview"]
        return [await self._preview(preview) for preview in newest.values()]

    async def _preview(self, preview: Mapping[str, Any]) -> dict[str, Any]:
        shown = {
            "preview_url": preview["url"],
            "n_index": preview["index"],
            "partial_index": preview["partialIndex"],
            "mime_type": preview.get("mimeType"),
        }
        try:
            data = await self._services.pictures.read(preview["url"])
        except DarkroomError as error:
            _log.info("preview not read", job=self.job.id, error=error.message)
            return shown
        if len(data) > MAX_PREVIEW_BYTES:
            return shown
        return {**shown, "preview_b64": pybase64.b64encode_as_string(data)}


def failed(job: Job, error: DarkroomError | None = None) -> Message:
    """`failed`, with the job's own error or another one. Canceled and expired are told by their codes."""
    if error is None and job.failure is not None:
        return Message("failed", {**_about(job), "error": failure_json(job.failure, job)})
    if error is None and job.status is Status.CANCELED:
        error = JobCanceled("the job was canceled", jobId=job.id, salvaged=job.salvaged or None)
    elif error is None:
        error = TimedOut(
            "the job's deadline passed before it began; nothing was billed", reason="deadline", jobId=job.id
        )
    return Message("failed", {**_about(job), "error": error_json(error)})


def error_json(error: DarkroomError) -> dict[str, Any]:
    """`{code, message, details}`."""
    return {"code": error.code, "message": error.message, "details": error.details}


def _completed(job: Job) -> Message:
    data = [
        {
            "url": image.url,
            "index": image.index,
            "mime_type": image.media_type,
            "bytes": image.bytes,
            "width": image.width,
            "height": image.height,
            **({"revised_prompt": image.revised_prompt} if image.revised_prompt else {}),
        }
        for image in job.images
    ]
    warnings = {"warnings": warnings_json(job.warnings)} if job.warnings else {}
    return Message("completed", {**_about(job), "data": data, **warnings})


def _about(job: Job) -> dict[str, Any]:
    return {"job_id": job.id, "request_id": job.request_id}


async def _newer(jobs: Jobs, job: Job) -> Job:
    """The job once it has changed, or as it is after a while. Raises `NotFound`, `Gone` once it is erased."""
    try:
        return await jobs.until(job, lambda now: now.version > job.version, SILENCE_SECONDS)
    except ServiceUnavailable:
        await asyncio.sleep(RETRY_SECONDS)
        return job
