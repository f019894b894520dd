"""Server-sent events (WHATWG HTML 9.2): a job's events as they come, resumed by `Last-Event-ID` on any replica."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Response
from litestar.response import Stream

from app.http.responses import AnyRequest, shown
from jobs.errors import InvalidInput, TooManyStreams

if TYPE_CHECKING:
    from jobs.client.client import Jobs
    from jobs.model.job import Job

MEDIA_TYPE: Final = "text/event-stream"
PING_SECONDS: Final = 15.0


def wants_stream(request: AnyRequest) -> bool:
    """Whether the caller asks for events as they come."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def last_seen(request: AnyRequest) -> int | None:
    """The version after which the caller wants to go on; None: from the beginning."""
    value = request.headers.get("last-event-id")
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 9:  # noqa: PLR2004  # no job has more versions
        raise InvalidInput("must be the id of an event of this job", field="Last-Event-ID")
    return int(value)


async def stream(request: AnyRequest, job: Job, headers: dict[str, str] | None = None) -> Response[Any]:
    """The job as it stands, then its events; 204 when the caller has seen the last of them."""
    jobs: Jobs = request.app.state.jobs
    after = last_seen(request)
    if after is not None and job.status.terminal and not await jobs.events(job, after):
        return Response(b"", status_code=204, headers={"X-Job-Id": job.id})
    told = {"X-Job-Id": job.id, "X-Accel-Buffering": "no", "Cache-Control": "no-store", **(headers or {})}
    return Stream(_frames(request, jobs, job, after), status_code=200, headers=told, media_type=MEDIA_TYPE)


async def _frames(request: AnyRequest, jobs: Jobs, job: Job, after: int | None) -> AsyncIterator[bytes]:
    with counted(request):
        if after is None:  # without an id: whoever is cut now begins again from the beginning
            now = {**shown(request, job), **await jobs.standing(job)}
            yield frame("snapshot", {"type": "snapshot", "jobId": job.id, "data": now})
        async for event in jobs.follow(job, after or 0, PING_SECONDS):
            if event is None:
                yield b": ping\n\n"
            else:
                yield f"id: {event['sequence']}\n".encode() + frame(event["type"], event)
        await jobs.delivered(job)


@contextlib.contextmanager
def counted(request: AnyRequest) -> Iterator[None]:
    """Among the open streams of this process, for as long as it lasts."""
    streams: set[object] = request.app.state.streams
    streams.add(own := object())
    try:
        yield
    finally:
        streams.discard(own)


def require_room(request: AnyRequest) -> None:
    """Raises `TooManyStreams` when this process has as many open as it may."""
    if len(request.app.state.streams) >= request.app.state.settings.most_streams:
        raise TooManyStreams("too many event streams are open here", retry_after=5)


def frame(name: str, data: Any) -> bytes:
    """One event as it goes over the wire."""
    return f"event: {name}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"
