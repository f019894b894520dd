"""The image wire that OpenAI and Azure OpenAI share: a call's body, its answer, and what its failures mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw, Struct

from jobs.errors import ProviderError
from jobs.model import Picture, Usage
from jobs.pictures import NotAPicture
from jobs.providers.answers import decoded, picture, told
from jobs.providers.base import Answered, Order, Step, Warned
from jobs.providers.options import merged
from jobs.providers.outcomes import (
    BAD_REQUEST,
    bad_response,
    connect_seconds,
    cut,
    refused_model,
    refused_policy,
    refused_request,
    refused_status,
)
from jobs.retry_after import retry_after

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_NO_OPTION: Final = frozenset({"image", "image[]", "mask", "stream", "partial_images", "response_format"})
"""Fields that decide what the answer looks like, or that are the pictures: no option may be put there."""


class _TokenDetails(Struct):
    text_tokens: int | None = None
    image_tokens: int | None = None


class _Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: _TokenDetails | None = None


class _Item(Struct):
    b64_json: Raw = Raw()
    revised_prompt: Any = None


class _Answer(Struct):
    """What we use of an images response; the rest is not read."""

    data: list[_Item]
    usage: Any = None


async def generate(client: AsyncOpenAI, order: Order) -> AsyncIterator[Step]:
    """One call of `/images/generations` or, with reference images, `/images/edits`."""
    fields, ignored = merged(order, body(order), takes=lambda name: name not in _NO_OPTION)
    try:
        async with asyncio.timeout(order.timeout):
            raw = await _send(client, order, fields)
    except Exception as error:
        raise _failure(error) from error
    yield Answered(status=raw.status_code, request_id=_request_id(raw.headers))
    for step in (*_read(raw.content), *ignored):
        yield step


def body(order: Order) -> dict[str, Any]:
    """The fields of the call. GPT image models refuse `response_format`; DALL·E needs it to answer with bytes."""
    request = order.request
    return {
        "model": request.model,
        "prompt": request.prompt,
        "n": order.n,
        "size": request.size,
        "quality": request.quality,
        "style": request.style,
        "background": request.background,
        "output_format": None if order.family.b64 else request.output_format,
        "output_compression": request.output_compression,
        "response_format": "b64_json" if order.family.b64 else None,
    }


async def _send(client: AsyncOpenAI, order: Order, fields: dict[str, Any]) -> Any:
    import openai  # noqa: PLC0415  # loaded with the provider

    known = {name: fields.pop(name) for name in ("model", "prompt")}
    connect = connect_seconds(order.timeout)
    extra: dict[str, Any] = {
        "extra_body": fields,
        "extra_headers": {"x-client-request-id": order.request_id, "x-ms-client-request-id": order.request_id},
        "timeout": openai.Timeout(order.timeout, connect=connect, pool=connect),
    }
    images: Any = client.images.with_raw_response  # its overloads cannot follow a body made from data
    if not order.images:
        return await images.generate(**known, **extra)
    files = [_file(f"image{i}", p) for i, p in enumerate(order.images)]
    mask = {"mask": _file("mask", order.mask)} if order.mask is not None else {}
    return await images.edit(image=files if len(files) > 1 else files[0], **mask, **known, **extra)


def _file(name: str, source: Picture) -> tuple[str, bytes, str]:
    return f"{name}.{source.media_type.removeprefix('image/')}", source.data, source.media_type


def _read(content: bytes) -> list[Step]:
    answer = decoded(content, _Answer)
    pictures: list[Step] = []
    lost: list[Step] = []
    for index, item in enumerate(answer.data):
        try:
            pictures.append(picture(item.b64_json, index=index, revised_prompt=told(item.revised_prompt, str)))
        except NotAPicture as error:
            lost.append(Warned(code="partial", message=f"picture {index + 1} of the provider cannot be used: {error}"))
    if not pictures:
        raise bad_response("the provider answered without a picture that can be used")
    usage = told(answer.usage, _Usage)
    return [*pictures, *lost, *([] if usage is None else [_counted(usage)])]


def _counted(usage: _Usage) -> Usage:
    details = usage.input_tokens_details or _TokenDetails()
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_text_tokens=details.text_tokens,
        input_image_tokens=details.image_tokens,
    )


_POLICY: Final = frozenset({"content_policy_violation", "moderation_blocked", "contentFilter", "content_filter"})
_NO_MODEL: Final = frozenset({"DeploymentNotFound", "model_not_found"})


def _failure(error: Exception) -> ProviderError:
    import openai  # noqa: PLC0415

    return _answered_failure(error) if isinstance(error, openai.APIStatusError) else cut(error)


def _answered_failure(error: Any) -> ProviderError:
    status: int = error.status_code
    headers = error.response.headers
    if status not in BAD_REQUEST:
        return refused_status(status, _request_id(headers), retry_after(headers))
    facts = error.body if isinstance(error.body, dict) else {}
    code = str(facts.get("code") or "")
    inner = facts.get("inner_error") or facts.get("innererror") or {}
    if code in _POLICY or (isinstance(inner, dict) and inner.get("code") == "ResponsibleAIPolicyViolation"):
        return refused_policy(status, _request_id(headers))
    if code in _NO_MODEL:
        return refused_model(status, _request_id(headers))
    return refused_request(facts.get("message"), status, _request_id(headers), field=facts.get("param"))


def _request_id(headers: Mapping[str, str]) -> str | None:
    return headers.get("apim-request-id") or headers.get("x-request-id")
