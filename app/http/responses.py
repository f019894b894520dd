"""What the faces share: knowing the caller, waiting, and answering with the job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from litestar import MediaType, Response
from msgspec import Struct

from app.http.head import head_alone
from app.http.problems import envelope, failure_response, on_darkroom_error
from app.services import AnyRequest, services
from jobs.errors import JobCanceled, TimedOut
from jobs.model.job import BillingState, Job, Status
from jobs.model.json import failure_json, job_json, job_urls, result_json

T = TypeVar("T")


class Renderer(Struct, frozen=True):
    """How a face tells a job: `picture` one that has succeeded, `pointer` one that goes on."""

    picture: Callable[[AnyRequest, Job, dict[str, str]], Awaitable[Response[Any]]]
    pointer: Callable[[AnyRequest, Job, dict[str, str]], Awaitable[Response[Any]]]
    has_picture: Callable[[Job], bool] = lambda job: job.status is Status.SUCCEEDED
    """Which ended jobs `picture` tells; the others are errors."""


async def ended(
    request: AnyRequest, job: Job, headers: dict[str, str] | None = None, renderer: Renderer | None = None
) -> Response[Any]:
    """A finished job as a synchronous answer: its picture, or its error with the error's own status."""
    headers = {"X-Job-Id": job.id, **(headers or {})}
    renderer = renderer or ENVELOPES
    if renderer.has_picture(job):
        return await renderer.picture(request, job, headers)
    return ended_without(request, job, headers)


def ended_without(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[bytes]:
    """The error of a job that ended without a picture."""
    if job.failure is not None:
        answer = failure_response(request, job.failure, failure_json(job.failure, job)["details"])
    elif job.status is Status.CANCELED:
        unpaid = job.billing is BillingState.NONE
        answer = on_darkroom_error(request, JobCanceled("the job was canceled", jobId=job.id, safeToRetry=unpaid))
    else:
        message = "the job's deadline passed before it began; nothing was billed"
        late = TimedOut(message, reason="deadline", jobId=job.id, retryable=True, safeToRetry=True)
        answer = on_darkroom_error(request, late)
    answer.headers.update(headers)
    return answer


async def enveloped_picture(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[bytes]:
    """The picture in our own envelope, which thereby somebody has."""
    await taken(request, job)
    return _json(envelope(result_json(job)), 200, headers)


async def taken(request: AnyRequest, job: Job) -> None:
    """The caller has the result of the job, unless it asked for the head of the answer alone."""
    if not head_alone(request.scope):
        await services(request).jobs.result_taken(job)


async def pointer(request: AnyRequest, job: Job, headers: dict[str, str] | None = None) -> Response[bytes]:
    """202 with the job, its place and how far it is likely to be, and where to look for it."""
    live_fields = await services(request).estimates.live_fields(job)
    body = envelope({**job_body(request, job), **live_fields})
    return _json(body, 202, {**location_headers(request, job), **(headers or {})})


ENVELOPES: Final = Renderer(picture=enveloped_picture, pointer=pointer)


def wait_expired(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[bytes]:
    """504 with the job's address: the wait is over, the job goes on."""
    urls = job_urls(job.id, services(request).settings.public_base_url)
    answer = on_darkroom_error(
        request,
        TimedOut(
            "the wait ended before the picture was made; the job goes on",
            reason="wait_expired",
            jobId=job.id,
            statusUrl=urls["self"],
            resultUrl=urls["result"],
            retryable=True,
            safeToRetry=False,
        ),
    )
    answer.headers.update({**location_headers(request, job), **headers})
    return answer


def job_answer(
    request: AnyRequest, job: Job, status: int, headers: dict[str, str], extra: dict[str, Any] | None = None
) -> Response[bytes]:
    """The job itself, with its version as ETag; `extra`: what is known of it only now."""
    return _json(
        envelope({**job_body(request, job), **(extra or {})}),
        status,
        {"X-Job-Id": job.id, "ETag": etag(job), **headers},
    )


def job_body(request: AnyRequest, job: Job) -> dict[str, Any]:
    """The job as callers read it."""
    return job_json(job, services(request).settings.public_base_url)


def etag(job: Job) -> str:
    """The job's version as a weak entity tag."""
    return f'W/"{job.version}"'


def retry_after(request: AnyRequest, job: Job) -> dict[str, str]:
    """`Retry-After` on what is not finished."""
    return {} if job.status.terminal else {"Retry-After": str(services(request).estimates.retry_after(job))}


def location_headers(request: AnyRequest, job: Job) -> dict[str, str]:
    """`Location` of the job, and when to look."""
    location = job_urls(job.id, services(request).settings.public_base_url)["self"]
    return {"Location": location, "X-Job-Id": job.id, **retry_after(request, job)}


def _json(body: Any, status: int, headers: dict[str, str]) -> Response[bytes]:
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type=MediaType.JSON)
