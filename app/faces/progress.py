"""Face 1's progress as server-sent events: what `/image-progress` tells, for one job and over plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from litestar import Response, get
from litestar.params import FromPath
from litestar.response import Stream

from app.auth.caller import READ
from app.http.caller import known_caller
from app.http.query import known_id, only_query
from app.http.responses import taken
from app.http.sse import MEDIA_TYPE, frame, open_stream
from app.live.progress import follow
from app.services import AnyRequest, services

if TYPE_CHECKING:
    from jobs.model.job import Job


@get(
    "/v1/images/progress/{job_id:str}",
    opt={"result": "progress", "media_type": MEDIA_TYPE, "errors": "openai_error"},
)
async def get_progress(request: AnyRequest, job_id: FromPath[str]) -> Response[Any]:
    """How far a job is, as server-sent events: `progress` with each change, then `completed` or `failed`."""
    caller = await known_caller(request, READ, looks=True)
    only_query(request)
    job = await services(request).jobs.get(caller.org, known_id(job_id, "job", "job"))
    opened = open_stream(request, caller.org, caller.subject)
    headers = {"X-Job-Id": job.id, "X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    return Stream(opened.pieces(_frames(request, job)), status_code=200, headers=headers, media_type=MEDIA_TYPE)


handlers: Final = (get_progress,)


async def _frames(request: AnyRequest, job: Job) -> AsyncGenerator[bytes, None]:
    jobs = services(request).jobs
    async with aclosing(follow(services(request), job)) as messages:
        async for message in messages:
            yield b": ping\n\n" if message is None else frame(message.name, message.data)
    if not jobs.closing:
        await taken(request, await jobs.get(job.org, job.id))
