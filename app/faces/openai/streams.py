"""`stream: true`: previews and pictures as server-sent events in OpenAI's shapes, written as they come."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pybase64
from anyio import CancelScope
from litestar import Response
from litestar.response import Stream
from msgspec.structs import replace

from app.ask import AnyRequest, ended_without
from app.faces.openai.answers import usage_json, with_base64, written
from app.faces.openai.errors import error_json
from app.streams import MEDIA_TYPE, PING_SECONDS, require_room
from jobs.errors import NotFound
from jobs.model import Status
from jobs.representation import failure_json

if TYPE_CHECKING:
    from jobs.client import Jobs
    from jobs.draft import Ask
    from jobs.model import Job

HOLD_SECONDS: Final = 10.0
"""So long the first event is awaited before the answer begins: a job that fails by then is told by its status."""
KEEP_ALIVE: Final = b": keep-alive\n\n"
_NO_USAGE: Final = {
    "input_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}
"""The SDKs' types know no event without usage; some providers count nothing."""


async def streamed(request: AnyRequest, ask: Ask) -> Response[Any]:
    """Submit and follow. An error before the first event is an answer with its own status."""
    require_room(request)
    jobs: Jobs = request.app.state.jobs
    submitted = await jobs.submit(replace(ask, wait_seconds=float(ask.options.cancel_after)))
    del ask  # the stream may be long: the pictures in hand are not kept for it
    job = await jobs.until(submitted.job, lambda j: j.status.terminal or j.preview is not None, HOLD_SECONDS)
    headers = {
        "X-Job-Id": job.id,
        **({"Idempotency-Replayed": "true"} if submitted.replayed else {}),
        **({"X-Job-Adopted": "true"} if submitted.adopted else {}),
    }
    if job.status.terminal and job.status is not Status.SUCCEEDED:
        return ended_without(request, job, headers)
    told = {**headers, "X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    return Stream(_open(request, job), status_code=200, headers=told, media_type=MEDIA_TYPE)


async def _open(request: AnyRequest, job: Job) -> AsyncIterator[bytes]:
    """The frames, counted among the open streams of this process."""
    jobs: Jobs = request.app.state.jobs
    streams: set[object] = request.app.state.streams
    streams.add(own := object())
    try:
        async for frame in _frames(jobs, job):
            yield frame
    except BaseException:
        with CancelScope(shield=True):
            await jobs.left(job)
        raise
    finally:
        streams.discard(own)


async def _frames(jobs: Jobs, job: Job) -> AsyncIterator[bytes]:
    async for event in jobs.follow(job, 0, PING_SECONDS):
        if event is None:
            yield KEEP_ALIVE
        elif "preview" in event["data"] and event["type"] == "image.job.preview":
            async for frame in _partial(jobs, job, event["data"]["preview"]):
                yield frame
    job = await jobs.get(job.org, job.id)
    if job.status is Status.SUCCEEDED:
        async for frame in _completed(jobs, job):
            yield frame
        await jobs.delivered(job)
    else:
        yield _failed(job)
        await jobs.left(job)


async def _partial(jobs: Jobs, job: Job, preview: Mapping[str, Any]) -> AsyncIterator[bytes]:
    """A preview; one that is gone by now is left out."""
    try:
        data = await jobs.picture(preview["url"])
    except NotFound:
        return
    shown = {
        "partial_image_index": preview["partialIndex"],
        **_about(job, preview.get("mimeType"), f"{preview['width']}x{preview['height']}"),
        "b64_json": pybase64.b64encode_as_string(data),
    }
    yield _frame(f"{_kind(job)}.partial_image", shown)


async def _completed(jobs: Jobs, job: Job) -> AsyncIterator[bytes]:
    for image in job.images:
        name = f"{_kind(job)}.completed"
        shown = {
            "type": name,
            "b64_json": "",
            **_about(job, image.media_type, f"{image.width}x{image.height}"),
            "usage": usage_json(job) or _NO_USAGE,
        }
        if identifier := job.request.safety_identifier or job.request.user:
            shown["safety_identifier"] = identifier
        yield f"event: {name}\ndata: ".encode()
        async for piece in written(jobs, with_base64(shown, image)):
            yield piece
        yield b"\n\n"


def _failed(job: Job) -> bytes:
    """What the SDKs raise as an `APIError`; a job that goes on is pointed at."""
    if job.failure is not None:
        shown = failure_json(job.failure, job)
        error = error_json(shown["code"], shown["message"], shown["details"])
    elif job.status.terminal:
        error = error_json(
            "JOB_CANCELED" if job.status is Status.CANCELED else "TIMEOUT", f"the job was {job.status}", {}
        )
    else:
        error = error_json("TIMEOUT", f"the gateway restarts; the job goes on as {job.id}", {"jobId": job.id})
    return _frame("error", {"error": {**error, "job_id": job.id}})


def _about(job: Job, media_type: str | None, size: str) -> dict[str, Any]:
    asked = job.request
    return {
        "background": asked.background or "auto",
        "created_at": int(time.time()),
        "output_format": (media_type or "image/png").removeprefix("image/"),
        "quality": asked.quality or "auto",
        "size": size,
    }


def _kind(job: Job) -> str:
    return "image_edit" if job.request.images else "image_generation"


def _frame(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: ".encode() + msgspec.json.encode({"type": name, **data}) + b"\n\n"
