"""Finished jobs as OpenAI answers: an images response, its base64 written piece by piece from the blob store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import MediaType, Response

from app.http.base64_answers import Piece, base64_answer
from app.http.responses import location_headers
from app.services import AnyRequest, services
from jobs.model.json import job_urls, warnings_json
from jobs.model.picture import Image

if TYPE_CHECKING:
    from jobs.model.job import Job


async def url_response(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[Any]:
    """The pictures by their addresses."""
    items = [_item(image, {"url": image.url}) for image in job.images]
    await services(request).jobs.result_taken(job)
    return _json({**_response_fields(job), "data": items}, 200, headers)


async def b64_response(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[Any]:
    """The pictures in base64, streamed: they are delivered once the last byte has gone."""
    body: list[Piece] = [msgspec.json.encode(_response_fields(job))[:-1] + b',"data":[']
    for image in job.images:
        before, after = around_base64(_item(image, {"b64_json": ""}))
        body += [before, image, after, b","]
    body[-1] = b"]}"
    return await base64_answer(request, job, body, headers)


def around_base64(item: dict[str, Any], name: str = "b64_json") -> tuple[bytes, bytes]:
    """An object's JSON before and after the place where the base64 of a picture belongs: its field `name` is empty."""
    begin = f'"{name}":"'.encode()
    before, _, after = msgspec.json.encode(item).partition(begin + b'"')
    return before + begin, b'"' + after


async def pointer(request: AnyRequest, job: Job, headers: dict[str, str]) -> Response[Any]:
    """202: no pictures yet, and the job's address (`Location`, `job.urls`)."""
    urls = job_urls(job.id, services(request).settings.public_base_url)
    told = {"id": job.id, "object": "image.job", "status": str(job.status), "urls": urls}
    return _json(
        {"created": job.created_ms // 1000, "data": [], "job": told}, 202, {**location_headers(request, job), **headers}
    )


def usage_json(job: Job) -> dict[str, Any] | None:
    """Tokens as the provider counted them; None where it did not."""
    usage = job.usage
    if usage is None:
        return None
    text = usage.input_text_tokens
    if text is None:
        text = (usage.input_tokens or 0) - (usage.input_image_tokens or 0)
    return {
        "input_tokens": usage.input_tokens or 0,
        "input_tokens_details": {"text_tokens": text, "image_tokens": usage.input_image_tokens or 0},
        "output_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens or (usage.input_tokens or 0) + (usage.output_tokens or 0),
    }


def _response_fields(job: Job) -> dict[str, Any]:
    """Everything but `data`; what is not known is left out."""
    first, asked = job.images[0], job.request
    told = {
        "created": (job.finished_ms or time.time_ns() // 1_000_000) // 1000,
        "background": asked.background if asked.background in {"transparent", "opaque"} else None,
        "output_format": first.media_type.removeprefix("image/"),
        "quality": asked.quality if asked.quality != "auto" else None,
        "safety_identifier": asked.safety_identifier or asked.user,
        "size": first.size,
        "usage": usage_json(job),
        "warnings": warnings_json(job.warnings) or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _item(image: Image, picture: dict[str, Any]) -> dict[str, Any]:
    revised = {} if image.revised_prompt is None else {"revised_prompt": image.revised_prompt}
    return {**picture, **revised}


def _json(body: Any, status: int, headers: dict[str, str]) -> Response[Any]:
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type=MediaType.JSON)
