"""Server-sent events (WHATWG HTML 9.2): a job's events as they come, resumed by `Last-Event-ID` on any replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import msgspec
from anyio import CancelScope
from litestar import Response
from litestar.response import Stream

from app.auth.authenticator import credential_headers
from app.http.accept import asks_for
from app.http.request_end import until_end
from app.http.responses import job_body, taken
from app.services import AnyRequest, services
from jobs.errors import InvalidInput

if TYPE_CHECKING:
    from jobs.model.job import Job

MEDIA_TYPE: Final = "text/event-stream"
PING_SECONDS: Final = 15.0


def wants_stream(request: AnyRequest) -> bool:
    """Whether the caller asks for events as they come."""
    return asks_for(request, MEDIA_TYPE)


def last_seen(request: AnyRequest) -> int | None:
    """The version after which the caller wants to go on; None: from the beginning."""
    value = request.headers.get("last-event-id")
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 9:  # noqa: PLR2004  # no job has more versions
        raise InvalidInput("must be the id of an event of this job", field="Last-Event-ID")
    return int(value)


class OpenStream:
    """One of the streams that are counted: until its last piece, or the end of its request at the latest."""

    def __init__(self) -> None:
        self.held = ExitStack()
        self._ended = asyncio.Event()

    async def end(self) -> None:
        """The credential that opened it holds no longer."""
        self._ended.set()

    async def pieces(self, pieces: AsyncGenerator[bytes, None], last: bytes = b"") -> AsyncGenerator[bytes, None]:
        """The pieces as they come, until it has ended, also while the next one is awaited; then `last`."""
        over = asyncio.ensure_future(self._ended.wait())
        piece = None
        try:
            while True:
                piece = asyncio.ensure_future(anext(pieces, None))
                await asyncio.wait({piece, over}, return_when=asyncio.FIRST_COMPLETED)
                if over.done():
                    if last:
                        yield last
                    return
                if (found := piece.result()) is None:
                    return
                yield found
        finally:
            self.held.close()  # before the client can know that this was the last piece
            over.cancel()
            with CancelScope(shield=True):
                if piece is not None:
                    piece.cancel()
                    await asyncio.wait({piece})
                await pieces.aclose()


def open_stream(request: AnyRequest, org: str, subject: str) -> OpenStream:
    """Count a stream of this caller. Raises `TooManyStreams`."""
    opened = OpenStream()
    until_end(request.scope).callback(opened.held.close)
    opened.held.enter_context(services(request).streams.held(org, subject))
    opened.held.enter_context(services(request).rechecks.watched(credential_headers(request.scope), opened.end))
    return opened


async def stream(
    request: AnyRequest, job: Job, opened: OpenStream, headers: dict[str, str] | None = None
) -> Response[Any]:
    """The job as it stands, then its events; 204 when the caller has seen the last of them."""
    jobs = services(request).jobs
    after = last_seen(request)
    if after is not None and job.status.terminal and not await jobs.events(job, after):
        return Response(b"", status_code=204, headers={"X-Job-Id": job.id})
    told = {"X-Job-Id": job.id, "X-Accel-Buffering": "no", "Cache-Control": "no-store", **(headers or {})}
    frames = opened.pieces(_frames(request, job, after))
    return Stream(frames, status_code=200, headers=told, media_type=MEDIA_TYPE)


async def _frames(request: AnyRequest, job: Job, after: int | None) -> AsyncGenerator[bytes, None]:
    jobs = services(request).jobs
    if after is None:  # without an id: whoever is cut now begins again from the beginning
        now = {**job_body(request, job), **await services(request).estimates.live_fields(job)}
        yield frame("snapshot", {"type": "snapshot", "jobId": job.id, "data": now})
    async for event in jobs.follow(job, after or 0, PING_SECONDS):
        if event is None:
            yield b": ping\n\n"
        else:
            yield f"id: {event['sequence']}\n".encode() + frame(event["type"], event)
    await taken(request, job)


def frame(name: str, data: Any) -> bytes:
    """One event as it goes over the wire."""
    return f"event: {name}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"
