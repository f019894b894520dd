"""The jobs face: `/api/v1/jobs`, submit and poll."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import MediaType, Response, delete, get, post
from litestar.params import FromPath
from msgspec.structs import replace

from app.auth.caller import READ, WRITE, Caller
from app.faces.jobs.body import NewJob, new_submission
from app.http.accept import takes
from app.http.caller import known_caller
from app.http.entity_tags import opaque, unchanged
from app.http.job_headers import applied, client_reference, idempotency_key, options_from_headers, preference
from app.http.json_body import read_json
from app.http.problems import envelope, request_id
from app.http.query import instant, known_id, number, only_query, page
from app.http.responses import ended, etag, job_answer, job_body, location_headers, pointer, retry_after, taken
from app.http.sse import open_stream, stream, wants_stream
from app.http.wait import wait_room, waited_for
from app.services import AnyRequest, services
from jobs.client.erase import CANCEL_SECONDS
from jobs.client.estimates import queue_json, seconds_json
from jobs.client.submission import Submission
from jobs.client.submit import Estimate
from jobs.errors import InvalidInput, NotAcceptable
from jobs.model.filters import Filters
from jobs.model.job import Job, Status
from jobs.model.json import PATH, billing_json, request_json, warnings_json
from jobs.webhooks.json import delivery_json

if TYPE_CHECKING:
    from app.http.job_headers import Preference
    from jobs.client.submit import Submitted

MAX_WAIT_SECONDS: Final = 60
EXAMPLE: Final = {
    "provider": "gemini",
    "model": "gemini-3.1-flash-image-preview",
    "prompt": "A lighthouse at dusk, watercolour",
    "size": "16:9",
    "metadata": {"project": "atlas"},
}


@post(
    PATH,
    status_code=202,
    opt={"body": NewJob, "example": EXAMPLE, "result": "job", "query": {"dryRun": "true: validate and estimate only"}},
)
async def create_job(request: AnyRequest) -> Response[Any]:
    """Create a job: 202 with the job, or 200 when `Prefer: wait=n` saw it finish.

    `?dryRun=true` answers 200 with what the job would be, cost and take; nothing is stored, nobody is called.
    """
    caller = await known_caller(request, WRITE)
    jobs = services(request).jobs
    if _flag(only_query(request, frozenset({"dryRun"})), "dryRun"):
        return _estimated(await services(request).submitter.estimate(await _submission(request, caller)))
    prefer = preference(request, services(request).settings.wait_seconds)
    if wants_stream(request):
        opened = open_stream(request, caller.org, caller.subject)
        submitted = await services(request).submitter.submit(await _submission(request, caller))
        headers = {**_said(submitted, prefer), **location_headers(request, submitted.job)}
        return await stream(request, submitted.job, opened, headers)
    wait = prefer.wait or 0
    with wait_room(request, caller.org, caller.subject, wait):
        submitted = await services(request).submitter.submit(await _submission(request, caller))
        job = submitted.job
        if wait and not job.status.terminal:
            job = await waited_for(request, job, jobs.wait(job.org, job.id, wait))
    headers = _said(submitted, prefer)
    if job.status.terminal:
        return job_answer(request, job, 200, headers)
    return await pointer(request, job, headers)


@get(
    PATH,
    opt={
        "result": "jobs",
        "query": {"limit": "at most 100", "cursor": "from the page before", "status": "comma-separated"},
    },
)
async def list_jobs(request: AnyRequest) -> Response[bytes]:
    """The org's jobs, newest first. A short page may still have a cursor: it ends where `cursor` is null."""
    caller = await known_caller(request, READ)
    query = only_query(request, _LIST_QUERY, prefix="metadata[")
    jobs = services(request).jobs
    found, after = await jobs.page(caller.org, _filters(query), *page(query, "job"))
    data = {"object": "list", "jobs": [job_body(request, job) for job in found], "cursor": after}
    return Response(msgspec.json.encode(envelope(data)), media_type=MediaType.JSON)


@get(
    f"{PATH}/{{job_id:str}}",
    opt={"result": "job", "query": {"wait": "seconds, at most 60", "until": "change or terminal"}},
)
async def get_job(request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
    """The job as it stands; `?wait=n` (or `Prefer: wait=n`) holds the answer until it changes or ends."""
    caller = await known_caller(request, READ, looks=True)
    query = only_query(request, frozenset({"wait", "until"}))
    jobs = services(request).jobs
    job = await jobs.get(caller.org, _known_id(job_id))
    prefer = preference(request, MAX_WAIT_SECONDS)
    wait = min(number(query, "wait", prefer.wait or 0, least=0), MAX_WAIT_SECONDS)
    until = query.get("until", "change")
    if until not in {"change", "terminal"}:
        raise InvalidInput("must be change or terminal", field="until")
    if wait and not job.status.terminal:
        beyond = _seen_version(request, job) if until == "change" else None
        with wait_room(request, caller.org, caller.subject, wait):
            job = await waited_for(request, job, jobs.wait(job.org, job.id, wait, beyond=beyond))
    headers = {**applied(prefer), **retry_after(request, job)}
    if unchanged(request.headers.get("if-none-match"), etag(job)):
        return Response(b"", status_code=304, headers={"ETag": etag(job), "X-Job-Id": job.id, **headers})
    await taken(request, job)
    sent = [delivery_json(d) for d in await jobs.deliveries(job)]
    extra = {**await services(request).estimates.live_fields(job), **({"delivery": sent} if sent else {})}
    return job_answer(request, job, 200, headers, extra)


@get(f"{PATH}/{{job_id:str}}/result", opt={"result": "image"})
async def get_result(request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
    """What the synchronous call would have answered; 202 while the job is unfinished."""
    job = await _readable(request, job_id)
    if not job.status.terminal:
        return await pointer(request, job)
    return await ended(request, job)


@get(
    f"{PATH}/{{job_id:str}}/content",
    opt={"query": {"index": "which picture, from 0"}, "statuses": {302: "the picture's address"}, "result": "job"},
)
async def get_content(request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
    """302 to a freshly made link of the picture."""
    query = only_query(request, frozenset({"index"}))
    job = await _readable(request, job_id)
    if not job.status.terminal:
        return await pointer(request, job)
    if not job.images:
        return await ended(request, job)
    await taken(request, job)
    link = services(request).pictures.link(job, number(query, "index", 0, least=0))
    return Response(b"", status_code=302, headers={"Location": link, "X-Job-Id": job.id, "Cache-Control": "no-store"})


@get(f"{PATH}/{{job_id:str}}/events", opt={"result": "events"})
async def get_events(request: AnyRequest, job_id: FromPath[str]) -> Response[Any]:
    """Everything that happened to the job, in order: a JSON list, or with `Accept: text/event-stream` as it happens."""
    caller = await known_caller(request, READ, looks=True)
    job: Job = await services(request).jobs.get(caller.org, _known_id(job_id))
    if wants_stream(request):
        return await stream(request, job, open_stream(request, caller.org, caller.subject))
    if not takes(request, MediaType.JSON):
        raise NotAcceptable("events are served as application/json and text/event-stream")
    events = await services(request).jobs.events(job)
    return Response(msgspec.json.encode(envelope(events)), headers={"X-Job-Id": job.id}, media_type=MediaType.JSON)


@post(f"{PATH}/{{job_id:str}}/cancel", status_code=200, opt={"result": "job"})
async def cancel_job(request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
    """Cancel: 200 with a job that has ended and what it cost, 202 while it has not.

    A call that is under way is abandoned; should its picture still come, the job's `result` has it (`salvaged`).
    """
    caller = await known_caller(request, WRITE)
    jobs = services(request).jobs
    job = await services(request).eraser.cancel(caller.org, _known_id(job_id), by=caller.subject)
    if not job.status.terminal:
        job = await jobs.wait(caller.org, job.id, CANCEL_SECONDS)
    status = 200 if job.status.terminal else 202
    return job_answer(
        request, job, status, retry_after(request, job), await services(request).estimates.live_fields(job)
    )


@delete(f"{PATH}/{{job_id:str}}", status_code=204, opt={"statuses": {204: "erased"}})
async def erase_job(request: AnyRequest, job_id: FromPath[str]) -> None:
    """Erase a job with its inputs, pictures and events; a live one is canceled first. Its id answers 410 then."""
    caller = await known_caller(request, WRITE)
    only_query(request)
    await services(request).eraser.erase(caller.org, _known_id(job_id), by=caller.subject)


def _said(submitted: Submitted, prefer: Preference) -> dict[str, str]:
    return {**applied(prefer), **({"Idempotency-Replayed": "true"} if submitted.replayed else {})}


async def _readable(request: AnyRequest, job_id: str) -> Job:
    caller = await known_caller(request, READ, looks=True)
    job: Job = await services(request).jobs.get(caller.org, _known_id(job_id))
    return job


async def _submission(request: AnyRequest, caller: Caller) -> Submission:
    body = await read_json(request, NewJob)
    submission = new_submission(caller, body, options_from_headers(request), request_id(request))
    return replace(
        submission,
        idempotency_key=idempotency_key(request),
        client_reference=submission.client_reference
        or client_reference(request.headers.get("x-client-reference"), "clientReference"),
    )


def _filters(query: dict[str, str]) -> Filters:
    status = frozenset(query["status"].split(",")) if "status" in query else None
    if status is not None and not status <= {str(s) for s in Status}:
        raise InvalidInput(f"must be of {', '.join(Status)}", field="status")
    return Filters(
        status=status,
        provider=query.get("provider"),
        model=query.get("model"),
        created_after_ms=instant(query.get("createdAfter"), "createdAfter"),
        created_before_ms=instant(query.get("createdBefore"), "createdBefore"),
        client_reference=query.get("clientReference"),
        idempotency_key=query.get("idempotencyKey"),
        batch_id=query.get("batchId"),
        metadata={key[9:-1]: value for key, value in query.items() if key.startswith("metadata[")},
    )


def _seen_version(request: AnyRequest, job: Job) -> int:
    """The newest of the versions that the caller has."""
    tags = opaque(request.headers.get("if-none-match", ""))
    return max((int(tag) for tag in tags if _VERSION.fullmatch(tag)), default=job.version)


def _flag(query: dict[str, str], name: str) -> bool:
    value = query.get(name, "false")
    if value not in {"true", "false"}:
        raise InvalidInput("must be true or false", field=name)
    return value == "true"


def _estimated(estimate: Estimate) -> Response[bytes]:
    job = estimate.job
    data = {
        "object": "image.job.estimate",
        "request": request_json(job.request),
        "warnings": warnings_json(job.warnings),
        "billing": billing_json(job),
        "estimatedSeconds": seconds_json(estimate.typical),
        "queue": queue_json(estimate.queued),
    }
    return Response(msgspec.json.encode(envelope(data)), status_code=200, media_type=MediaType.JSON)


def _known_id(job_id: str) -> str:
    return known_id(job_id, "job", "job")


_VERSION: Final = re.compile(r"\d{1,9}", re.ASCII)
_LIST_QUERY: Final = frozenset(
    {
        "limit",
        "cursor",
        "status",
        "provider",
        "model",
        "createdAfter",
        "createdBefore",
        "clientReference",
        "idempotencyKey",
        "batchId",
    }
)

handlers: Final = (create_job, list_jobs, get_job, get_result, get_content, get_events, cancel_job, erase_job)
