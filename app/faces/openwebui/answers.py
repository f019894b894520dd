"""Jobs as Open WebUI is answered: a list of files, or where a job that goes on is looked for."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import MediaType, Response

from app.http.responses import Renderer, taken
from app.services import AnyRequest, services
from jobs.model.json import warnings_json

if TYPE_CHECKING:
    from jobs.client.files import ChatLink, File
    from jobs.model.job import Job

PREFIXES: Final = ("/api/v1/images", "/api/images")
"""Where Open WebUI serves it, and where its documents say."""
TOLD: Final = {"errors": "openwebui_error", "twin": "/api/images/"}
"""What every operation of this face says of itself."""
JOBS: Final = "/api/v1/images/generations"
FILES: Final = "/api/v1/files"
_GOES_ON: Final = frozenset({202, 504})


def renderer(link: ChatLink | None) -> Renderer:
    """Answers that link the pictures to a chat."""

    async def pictures(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[Any]:
        files = await services(request).files.of_job(job, link)
        await taken(request, job)
        return json(_items(files, job), 200, headers)

    return Renderer(picture=pictures, pointer=_pointer)


async def located(answer: Awaitable[Response[Any]]) -> Response[Any]:
    """An answer whose `Location`, while the job goes on, is one that its caller may ask."""
    response = await answer
    job_id = response.headers.get("X-Job-Id")
    if job_id and response.status_code in _GOES_ON:
        response.headers["Location"] = f"{JOBS}/{job_id}"
    return response


def json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """The body without an envelope."""
    return Response(msgspec.json.encode(body), status_code=status, headers=headers or {}, media_type=MediaType.JSON)


async def _pointer(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[Any]:
    """202: how far the job is, and where to look for its pictures."""
    live = await services(request).estimates.live_fields(job)
    retry = services(request).estimates.retry_after(job)
    told = {"job_id": job.id, "status": str(job.status), **live, "url": f"{JOBS}/{job.id}"}
    return json(told, 202, {"X-Job-Id": job.id, "Retry-After": str(retry), **headers})


def _items(files: list[File], job: Job) -> list[dict[str, Any]]:
    warnings = {"warnings": warnings_json(job.warnings)} if job.warnings else {}
    return [
        {"id": f.id, "url": f"{FILES}/{f.id}/content", "name": f.name, "content_type": f.media_type, **warnings}
        for f in files
    ]
