"""The image wire that OpenAI and Azure OpenAI share: a call's body, its answer, and what its failures mean."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pybase64
from msgspec import UNSET, Raw, Struct, UnsetType

from jobs.errors import DarkroomError, InvalidInput, Outcome, ProviderError, ServiceUnavailable, TimedOut
from jobs.model import Picture, Usage
from jobs.providers.base import Answered, Order, Step
from jobs.providers.outcomes import bad_response, cut, refused_status, retry_after

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class _TokenDetails(Struct):
    text_tokens: int | None = None
    image_tokens: int | None = None


class _Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: _TokenDetails | None = None


class _Item(Struct):
    b64_json: Raw | UnsetType = UNSET
    revised_prompt: str | None = None


class _Answer(Struct):
    """What we use of an images response; the rest is not read."""

    data: list[_Item]
    usage: _Usage | None = None


async def generate(client: AsyncOpenAI, order: Order) -> AsyncIterator[Step]:
    """One call of `/images/generations` or, with reference images, `/images/edits`."""
    try:
        raw = await _send(client, order)
    except Exception as error:
        raise _failure(error) from error
    yield Answered(status=raw.status_code, request_id=_request_id(raw.headers))
    for step in _read(raw.content):
        yield step


def body(order: Order) -> dict[str, Any]:
    """The fields of the call. GPT image models refuse `response_format`; DALL·E needs it to answer with bytes."""
    request = order.request
    fields: dict[str, Any] = {
        **request.options.get(request.provider, {}),
        "model": request.model,
        "prompt": request.prompt,
        "n": order.n,
        "size": request.size,
        "quality": request.quality,
        "style": request.style,
        "background": request.background,
        "output_format": request.output_format,
        "output_compression": request.output_compression,
        "response_format": "b64_json" if order.family.b64 else None,
    }
    if order.family.b64:
        fields.pop("output_format")
    return {name: value for name, value in fields.items() if value is not None}


async def _send(client: AsyncOpenAI, order: Order) -> Any:
    fields = body(order)
    known = {k: fields.pop(k) for k in ("model", "prompt") if k in fields}
    extra: dict[str, Any] = {
        "extra_body": fields,
        "extra_headers": {"x-client-request-id": order.request_id, "x-ms-client-request-id": order.request_id},
        "timeout": order.timeout,
    }
    images: Any = client.images.with_raw_response  # its overloads cannot follow a body made from data
    if not order.images:
        return await images.generate(**known, **extra)
    files = [
        (f"image{i}.{p.media_type.removeprefix('image/')}", p.data, p.media_type) for i, p in enumerate(order.images)
    ]
    mask = {"mask": ("mask.png", order.mask.data, "image/png")} if order.mask is not None else {}
    return await images.edit(image=files if len(files) > 1 else files[0], **mask, **known, **extra)


def _read(content: bytes) -> list[Step]:
    try:
        answer = msgspec.json.decode(content, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = "the provider's answer cannot be read"
        raise ProviderError(Outcome.UNKNOWN, ServiceUnavailable(message, reason="outcome_unknown")) from error
    steps: list[Step] = [_picture(i, item) for i, item in enumerate(answer.data) if item.b64_json is not UNSET]
    if not steps:
        raise bad_response("the provider answered without a picture")
    if answer.usage is not None:
        steps.append(_usage(answer.usage))
    return steps


def _picture(index: int, item: _Item) -> Picture:
    # Base64 holds nothing that JSON escapes, so the text between the quotes is decoded as it lies: no copy.
    raw = memoryview(item.b64_json)[1:-1] if isinstance(item.b64_json, Raw) else b""
    try:
        data = pybase64.b64decode(raw, validate=True)
    except ValueError as error:
        raise bad_response("the provider's picture is not base64") from error
    return Picture(data=data, media_type="", revised_prompt=item.revised_prompt, index=index)


def _usage(usage: _Usage) -> Usage:
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
_BAD_REQUEST: Final = frozenset({400, 404, 413, 415, 422})


def _failure(error: Exception) -> ProviderError:
    import openai  # noqa: PLC0415  # loaded with the provider

    if isinstance(error, openai.APIStatusError):
        return _answered_failure(error)
    if isinstance(error, openai.APIConnectionError):
        return cut(error)
    return ProviderError(Outcome.UNKNOWN, TimedOut("the provider did not answer in time", reason="provider_timeout"))


def _answered_failure(error: Any) -> ProviderError:
    status: int = error.status_code
    request_id = _request_id(error.response.headers)
    if status not in _BAD_REQUEST:
        return refused_status(status, request_id, retry_after(error.response.headers))
    return ProviderError(Outcome.REFUSED, _bad_request(error), provider_status=status, provider_request_id=request_id)


def _bad_request(error: Any) -> DarkroomError:
    facts = error.body if isinstance(error.body, dict) else {}
    code = str(facts.get("code") or "")
    inner = facts.get("inner_error") or facts.get("innererror") or {}
    if code in _POLICY or (isinstance(inner, dict) and inner.get("code") == "ResponsibleAIPolicyViolation"):
        return InvalidInput(
            "the provider refused the prompt under its content policy", reason="content_policy", field="prompt"
        )
    if code in _NO_MODEL:
        return InvalidInput("the provider knows no such model or deployment", field="model")
    said = str(facts.get("message") or "")[:500]
    param = facts.get("param")
    return InvalidInput(f"the provider refused the request: {said}", field=param if isinstance(param, str) else None)


def _request_id(headers: Mapping[str, str]) -> str | None:
    return headers.get("apim-request-id") or headers.get("x-request-id")
