"""What a page is answered: its picture as a `data:` URL, and where it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import MediaType, Response

from app.http.base64_answers import base64_answer
from jobs.model.json import present, warnings_json

if TYPE_CHECKING:
    from app.services import AnyRequest
    from jobs.model.job import Job


async def data_url_response(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[Any]:
    """`imageBase64`, `imageUrl` and `text`, what the model said beside the picture or null."""
    image = job.images[0]
    warned = present(warnings=warnings_json(job.warnings) or None)
    rest = msgspec.json.encode({"imageUrl": image.url, "text": job.text, **warned})
    before = f'{{"imageBase64":"data:{image.media_type};base64,'.encode()
    return await base64_answer(request, job, [before, image, b'",' + rest[1:]], headers)


def json_answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """A body without an envelope, as pages have it."""
    return Response(msgspec.json.encode(body), status_code=status, headers=headers or {}, media_type=MediaType.JSON)
