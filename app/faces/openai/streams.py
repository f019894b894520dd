"""`stream: true`: previews and pictures as server-sent events in OpenAI's shapes, written as they come."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pybase64
from anyio import CancelScope
from anyio.lowlevel import checkpoint
from litestar import Response
from litestar.response import Stream
from msgspec.structs import replace

from app.faces.openai.answers import around_base64, usage_json
from app.faces.openai.errors import error_json
from app.http.base64_answers import written
from app.http.problems import remember_job
from app.http.responses import ended_without
from app.http.sse import MEDIA_TYPE, PING_SECONDS, frame, open_stream
from app.http.wait import replay_headers, unless_gone
from app.services import AnyRequest, services
from jobs.errors import DarkroomError, NotFound
from jobs.model.job import Status
from jobs.model.json import failure_json, warnings_json

if TYPE_CHECKING:
    from jobs.client.pictures import PictureReader
    from jobs.client.submission import Submission
    from jobs.model.job import Job
    from jobs.model.picture import Image

WAIT_SECONDS: Final = 300
"""Should this process crash, whoever asks the same again gets the job's pictures after so long."""
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
_NO_CREDENTIAL: Final = error_json("UNAUTHORIZED", "the credential of this stream holds no longer", None, {})


async def streamed(request: AnyRequest, submission: Submission) -> Response[Any]:
    """Submit and follow. An error before the first event is an answer with its own status."""
    opened = open_stream(request, submission.org, submission.subject)
    jobs = services(request).jobs
    submission = replace(submission, wait_seconds=float(min(submission.options.cancel_after, WAIT_SECONDS)))
    submitted = await services(request).submitter.submit(submission)
    del submission  # the stream may be long: the pictures in hand are not kept for it
    job = submitted.job
    remember_job(request, job.id)
    try:
        begun = await _begun(request, job)
    except Exception:
        await jobs.caller_left(job)
        raise
    if begun is None:
        await jobs.caller_left(job)
        return Response(b"", status_code=200)  # which nobody reads
    headers = {"X-Job-Id": job.id, **replay_headers(submitted)}
    if begun.status.terminal and begun.status is not Status.SUCCEEDED:
        return ended_without(request, begun, headers)
    told = {**headers, "X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    pieces = opened.pieces(_open(request, begun), last=_error(begun, _NO_CREDENTIAL))
    return Stream(pieces, status_code=200, headers=told, media_type=MEDIA_TYPE)


async def _begun(request: AnyRequest, job: Job) -> Job | None:
    """The job with its first preview or at its end, or after `HOLD_SECONDS`; None when the caller has gone."""
    jobs = services(request).jobs

    def shows(now: Job) -> bool:
        return now.status.terminal or now.preview is not None

    return await unless_gone(request, jobs.until(job, shows, HOLD_SECONDS))


async def _open(request: AnyRequest, job: Job) -> AsyncGenerator[bytes, None]:
    try:
        await checkpoint()  # whoever left while the first event was awaited is noticed here
        async for piece in _frames(request, job):
            yield piece
    except BaseException:
        with CancelScope(shield=True):
            await services(request).jobs.caller_left(job)
        raise


async def _frames(request: AnyRequest, job: Job) -> AsyncIterator[bytes]:
    jobs, pictures = services(request).jobs, services(request).pictures
    try:
        async for event in jobs.follow(job, 0, PING_SECONDS):
            if event is None:
                yield KEEP_ALIVE
            elif event["type"] == "image.job.preview":
                async for partial in _partial(pictures, job, event["data"]["preview"]):
                    yield partial
        job = await jobs.get(job.org, job.id)
        completed = [await _begin(pictures, job, image) for image in job.images]
    except DarkroomError as error:  # no frame is open, so it can be told
        yield _error(job, error_json(error.code, error.message, error.reason, error.details))
        await jobs.caller_left(job)
        return
    if job.status is not Status.SUCCEEDED:
        yield _failed(job)
        await jobs.caller_left(job)
        return
    for first, rest in completed:
        for piece in first:
            yield piece
        async for piece in rest:
            yield piece
    with CancelScope(shield=True):
        await jobs.result_taken(job)


async def _partial(pictures: PictureReader, job: Job, preview: Mapping[str, Any]) -> AsyncIterator[bytes]:
    """A preview; one that is gone by now is left out."""
    try:
        data = await pictures.read(preview["url"])
    except NotFound:
        return
    shown = {
        "partial_image_index": preview["partialIndex"],
        **_about(job, preview.get("mimeType"), f"{preview['width']}x{preview['height']}"),
        "b64_json": pybase64.b64encode_as_string(data),
    }
    yield _frame(f"{_kind(job)}.partial_image", shown)


async def _begin(pictures: PictureReader, job: Job, image: Image) -> tuple[list[bytes], AsyncIterator[bytes]]:
    """A picture's frame up to the first bytes of its base64, and the rest of it."""
    name, last = f"{_kind(job)}.completed", image is job.images[-1]
    identifier = job.request.safety_identifier or job.request.user
    shown = {
        "type": name,
        "b64_json": "",
        **_about(job, image.media_type, image.size or "auto"),
        "usage": (usage_json(job) if last else None) or _NO_USAGE,  # it is that of all of them: told once
        **({"safety_identifier": identifier} if identifier else {}),
        **({"warnings": warnings_json(job.warnings)} if last and job.warnings else {}),
    }
    before, after = around_base64(shown)
    pieces = written(pictures, [f"event: {name}\ndata: ".encode() + before, image, after + b"\n\n"])
    return [await anext(pieces), await anext(pieces)], pieces


def _failed(job: Job) -> bytes:
    """What the SDKs raise as an `APIError`; a job that goes on is pointed at."""
    if job.failure is not None:
        shown = failure_json(job.failure, job)
        error = error_json(shown["code"], shown["message"], job.failure.reason, shown["details"])
    elif job.status.terminal:
        error = error_json(
            "JOB_CANCELED" if job.status is Status.CANCELED else "TIMEOUT", f"the job was {job.status}", None, {}
        )
    else:
        error = error_json("TIMEOUT", f"the gateway restarts; the job goes on as {job.id}", None, {"jobId": job.id})
    return _error(job, error)


def _error(job: Job, error: dict[str, Any]) -> bytes:
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
    return frame(name, {"type": name, **data})
