"""Waiting for a job in one request, for as long as the caller stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from litestar import Response
from msgspec.structs import replace

from app.auth.authenticator import credential_headers
from app.http.job_headers import applied, preference
from app.http.problems import remember_job
from app.http.responses import ENVELOPES, Renderer, T, ended, wait_expired
from app.services import AnyRequest, services
from jobs.model.job import Job

if TYPE_CHECKING:
    from app.http.job_headers import Preference
    from jobs.client.submission import Submission
    from jobs.client.submit import Submitted


async def answer_now_or_later(
    request: AnyRequest, submission: Submission, renderer: Renderer | None = None, prefer: Preference | None = None
) -> Response[Any]:
    """Submit, wait as the caller prefers, and answer with the picture, the error, or where to look.

    `prefer`: what the caller prefers, where that is not said by the header `Prefer`.
    """
    renderer = renderer or ENVELOPES
    jobs = services(request).jobs
    settings = services(request).settings
    prefer = preference(request, settings.wait_seconds) if prefer is None else prefer
    seconds = settings.wait_seconds if prefer.wait is None else prefer.wait
    with wait_room(request, submission.org, submission.subject, seconds):
        submitted = await services(request).submitter.submit(
            replace(submission, wait_seconds=seconds) if seconds else submission
        )
        del submission  # the wait may be long: the pictures in hand are not kept for it
        job = submitted.job
        remember_job(request, job.id)
        headers = replay_headers(submitted)
        try:
            if seconds and not job.status.terminal:
                job = await waited_for(request, job, jobs.wait(job.org, job.id, seconds))
            if job.status.terminal:
                return await ended(request, job, headers, renderer)
        except Exception:
            await jobs.caller_left(job)
            raise
    if seconds:
        await jobs.caller_left(job)
    if prefer.wait is not None:
        return await renderer.pointer(request, job, {**headers, **applied(prefer)})
    return wait_expired(request, job, headers)


def replay_headers(submitted: Submitted) -> dict[str, str]:
    """Whether the job is an earlier one, as headers."""
    return {
        **({"Idempotency-Replayed": "true"} if submitted.replayed else {}),
        **({"X-Job-Adopted": "true"} if submitted.adopted else {}),
    }


def wait_room(request: AnyRequest, org: str, subject: str, seconds: float) -> AbstractContextManager[None]:
    """One more wait of this caller, unless it is none. Raises `ServiceUnavailable` where there is no room for it."""
    waits = services(request).waits
    return waits.held(org, subject) if seconds else nullcontext()


async def waited_for(request: AnyRequest, job: Job, waiting: Awaitable[Job]) -> Job:
    """The job when the wait for it is over, or as it was when the caller has gone.

    Raises `Unauthorized` when the caller's credential holds no longer by then.
    """
    found = await unless_gone(request, waiting)
    if found is None:
        return job
    await services(request).authenticator.caller(credential_headers(request.scope))
    return found


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
