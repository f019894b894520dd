"""What the faces share: knowing the caller, waiting, and answering with the job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from litestar import MediaType, Request, Response
from msgspec import Struct
from msgspec.structs import replace

from app.http.job_headers import applied, preference
from app.http.problems import envelope, failure_response, on_darkroom_error, remember_job
from app.http.rate_headers import spend
from jobs.errors import JobCanceled, ServiceUnavailable, TimedOut
from jobs.model.job import ImageRequest, Job, Status
from jobs.model.json import failure_json, job_json, job_urls, result_json

if TYPE_CHECKING:
    from app.auth.authenticator import Caller
    from app.http.job_headers import Preference
    from jobs.client.client import Jobs, Submitted
    from jobs.client.submission import Ask
    from jobs.settings import Settings

AnyRequest = Request[Any, Any, Any]
T = TypeVar("T")


async def known_caller(request: AnyRequest, scope: str) -> Caller:
    """The caller, who has the scope. Raises `Unauthorized`, `RateLimited`, `Forbidden`."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"]]
    caller: Caller = await request.app.state.authenticator.caller(headers)
    if caller.key is not None:
        await spend(request.scope, request.app.state.rates, caller.key)
    caller.require(scope)
    return caller


def permitted(caller: Caller, request: ImageRequest) -> ImageRequest:
    """The request as it is, when the caller may ask its provider and model. Raises `Forbidden` naming the field."""
    caller.require_model(request.provider, request.model)
    return request


class Telling(Struct, frozen=True):
    """How a face tells a job: `picture` one that has succeeded, `pointer` one that goes on."""

    picture: Callable[[AnyRequest, Job, dict[str, str]], Awaitable[Response[Any]]]
    pointer: Callable[[AnyRequest, Job, dict[str, str]], Awaitable[Response[Any]]]


async def answer_now_or_later(
    request: AnyRequest, ask: Ask, telling: Telling | None = None, prefer: Preference | None = None
) -> Response[Any]:
    """Submit, wait as the caller prefers, and answer with the picture, the error, or where to look (JOBS.md 4).

    `prefer`: what the caller prefers, where that is not said by the header `Prefer`.
    """
    telling = telling or ENVELOPES
    jobs: Jobs = request.app.state.jobs
    settings: Settings = request.app.state.settings
    prefer = preference(request, settings.wait_seconds) if prefer is None else prefer
    seconds = settings.wait_seconds if prefer.wait is None else prefer.wait
    if seconds and len(request.app.state.waits) >= settings.most_waits:
        message = "too many callers wait here: send `Prefer: respond-async` and poll, or come back"
        raise ServiceUnavailable(message, reason="waiters_full", retry_after=5)
    submitted = await jobs.submit(replace(ask, wait_seconds=seconds) if seconds else ask)
    del ask  # the wait may be long: the pictures in hand are not kept for it
    job = submitted.job
    remember_job(request, job.id)
    headers = said_of(submitted)
    try:
        if seconds and not job.status.terminal:
            job = await _waited_for(request, job, seconds)
        if job.status.terminal:
            return await ended(request, job, headers, telling)
    except Exception:
        await jobs.left(job)
        raise
    if seconds:
        await jobs.left(job)
    if prefer.wait is not None:
        return await telling.pointer(request, job, {**headers, **applied(prefer)})
    return wait_expired(request, job, headers)


def said_of(submitted: Submitted) -> dict[str, str]:
    """Whether the job is an earlier one, as headers."""
    return {
        **({"Idempotency-Replayed": "true"} if submitted.replayed else {}),
        **({"X-Job-Adopted": "true"} if submitted.adopted else {}),
    }


async def _waited_for(request: AnyRequest, job: Job, seconds: float) -> Job:
    """The job once it has ended, or as it stands after `seconds`, or when the caller has gone."""
    jobs: Jobs = request.app.state.jobs
    waits: set[object] = request.app.state.waits
    waits.add(own := object())
    try:
        return await unless_gone(request, jobs.wait(job.org, job.id, seconds)) or job
    finally:
        waits.discard(own)


async def unless_gone(request: AnyRequest, act: Awaitable[T]) -> T | None:
    """What comes of an act, or None when the caller goes before it is done."""
    acting = asyncio.ensure_future(act)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({acting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return acting.result() if acting.done() else None
    finally:
        acting.cancel()
        leaving.cancel()


async def _gone(request: AnyRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def ended(
    request: AnyRequest, job: Job, headers: dict[str, str] | None = None, telling: Telling | None = None
) -> Response[Any]:
    """A finished job as a synchronous answer: its picture, or its error with the error's own status."""
    headers = {"X-Job-Id": job.id, **(headers or {})}
    if job.status is Status.SUCCEEDED:
        return await (telling or ENVELOPES).picture(request, job, headers)
    return ended_without(request, job, headers)


def ended_without(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[bytes]:
    """The error of a job that ended without a picture."""
    if job.failure is not None:
        answer = failure_response(request, job.failure, failure_json(job.failure, job)["details"])
    elif job.status is Status.CANCELED:
        answer = on_darkroom_error(request, JobCanceled("the job was canceled", jobId=job.id))
    else:
        message = "the job's deadline passed before it began; nothing was billed"
        late = TimedOut(message, reason="deadline", jobId=job.id, retryable=True, safeToRetry=True)
        answer = on_darkroom_error(request, late)
    answer.headers.update(headers)
    return answer


async def enveloped_picture(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[bytes]:
    """The picture in our own envelope, which thereby somebody has."""
    await request.app.state.jobs.delivered(job)
    return _json(envelope(result_json(job)), 200, headers)


async def pointer(request: AnyRequest, job: Job, headers: dict[str, str] | None = None) -> Response[bytes]:
    """202 with the job, its place and how far it is likely to be, and where to look for it."""
    standing = await request.app.state.jobs.standing(job)
    body = envelope({**shown(request, job), **standing})
    return _json(body, 202, {**where(request, job), **(headers or {})})


ENVELOPES: Final = Telling(picture=enveloped_picture, pointer=pointer)


def wait_expired(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[bytes]:
    """504 with the job's address: the wait is over, the job goes on."""
    urls = job_urls(job.id, request.app.state.settings.public_base_url)
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
    answer.headers.update({**where(request, job), **headers})
    return answer


def job_answer(
    request: AnyRequest, job: Job, status: int, headers: dict[str, str], beside: dict[str, Any] | None = None
) -> Response[bytes]:
    """The job itself, with its version as ETag; `beside`: what is known of it only now."""
    return _json(
        envelope({**shown(request, job), **(beside or {})}), status, {"X-Job-Id": job.id, "ETag": etag(job), **headers}
    )


def shown(request: AnyRequest, job: Job) -> dict[str, Any]:
    """The job as callers read it."""
    return job_json(job, request.app.state.settings.public_base_url)


def etag(job: Job) -> str:
    """The job's version as a weak entity tag."""
    return f'W/"{job.version}"'


def patience(request: AnyRequest, job: Job) -> dict[str, str]:
    """`Retry-After` on what is not finished."""
    return {} if job.status.terminal else {"Retry-After": str(request.app.state.jobs.patience(job))}


def where(request: AnyRequest, job: Job) -> dict[str, str]:
    """`Location` of the job, and when to look."""
    location = job_urls(job.id, request.app.state.settings.public_base_url)["self"]
    return {"Location": location, "X-Job-Id": job.id, **patience(request, job)}


def _json(body: Any, status: int, headers: dict[str, str]) -> Response[bytes]:
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type=MediaType.JSON)
