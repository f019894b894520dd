"""Google Gemini's image models by `generateContent`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw, Struct

from jobs.errors import ProviderError
from jobs.model.picture import Usage
from jobs.outside.retry_after import retry_after
from jobs.pictures.sniff import NotAPicture
from jobs.providers.base import Answered, Order, Step, Text
from jobs.providers.google import quota
from jobs.providers.options import merged
from jobs.providers.outcomes import (
    BAD_REQUEST,
    bad_response,
    cut,
    refused_account,
    refused_credential,
    refused_model,
    refused_policy,
    refused_request,
    refused_status,
    unreadable,
)
from jobs.providers.replies import decoded, picture, told

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from google.genai import Client

API_VERSION: Final = "v1beta"
_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "aspectRatio": ("generationConfig", "imageConfig"),
    "imageSize": ("generationConfig", "imageConfig"),
    "temperature": ("generationConfig",),
    "topP": ("generationConfig",),
    "topK": ("generationConfig",),
    "seed": ("generationConfig",),
    "safetySettings": (),
}
"""Options that a caller may set, by Google's names, and where in the body each stands. No tools: they bill, too."""
_REFUSALS: Final = frozenset(
    {
        "SAFETY",
        "IMAGE_SAFETY",
        "PROHIBITED_CONTENT",
        "IMAGE_PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "RECITATION",
        "IMAGE_RECITATION",
    }
)
"""Finish reasons that are a refusal of what was asked; any other without a picture is a bad answer."""


class _Inline(Struct):
    data: Raw = Raw()


class _Part(Struct, rename="camel"):
    text: Any = None
    thought: Any = None
    inline_data: _Inline | None = None


class _Content(Struct):
    parts: list[_Part] | None = None


class _Candidate(Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: Any = None


class _Answer(Struct, rename="camel"):
    """What we use of an answer; the rest is not read."""

    candidates: list[_Candidate] | None = None
    prompt_feedback: Any = None
    usage_metadata: Any = None
    response_id: Any = None


class _Counts(Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    total_token_count: int | None = None


class Gemini:
    """The provider `gemini`. `base_url` is that of another server with Gemini's paths; None: Google's."""

    def __init__(self, *, api_key: str, base_url: str | None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._client: Client | None = None
        self._session: ClientSession | None = None

    async def open(self) -> None:
        """Import the SDK and make the client; its own retries are off."""
        from google.genai import Client, types  # the SDK is 49 MB

        from jobs.providers.google.http import session  # aiohttp is loaded with the SDK

        self._session = session()
        self._client = Client(
            api_key=self._api_key,
            http_options=types.HttpOptions(
                base_url=self._base_url,
                api_version=API_VERSION,
                retry_options=types.HttpRetryOptions(attempts=1),
                aiohttp_client=self._session,
            ),
        )

    async def close(self) -> None:
        """See `Provider.close`."""
        if self._client is not None:
            await self._client.aio.aclose()
            self._client.close()
        if self._session is not None:
            await self._session.close()

    async def generate(self, order: Order) -> AsyncIterator[Step]:
        """See `Provider.generate`. One call makes one picture."""
        fields, ignored = merged(order, {"aspectRatio": order.request.size}, takes=lambda name: name in _PLACES)
        try:
            async with asyncio.timeout(order.timeout):
                content = await self._send(order, fields)
        except Exception as error:
            raise _failure(error) from error
        answer = decoded(content, _Answer)
        yield Answered(status=200, request_id=told(answer.response_id, str))
        for step in (*_read(answer), *ignored):
            yield step

    async def _send(self, order: Order, fields: Mapping[str, Any]) -> str:
        """The answer's body as it came: the SDK's own reading loses a picture to any strange word beside it."""
        from google.genai import types

        if self._client is None:
            raise RuntimeError("open() first")
        parts: list[Any] = [types.Part.from_bytes(data=p.data, mime_type=p.media_type) for p in order.images]
        answer = await self._client.aio.models.generate_content(
            model=order.request.model,
            contents=[*parts, types.Part.from_text(text=prompt_of(order))],
            config=types.GenerateContentConfig(
                response_modalities=["TEXT", "IMAGE"],
                should_return_http_response=True,
                http_options=types.HttpOptions(
                    timeout=round(order.timeout * 1000),
                    headers={"x-client-request-id": order.request_id},
                    extra_body=_placed(fields),
                ),
            ),
        )
        return (answer.sdk_http_response and answer.sdk_http_response.body) or ""


def prompt_of(order: Order) -> str:
    """The text part: Gemini has no field for a negative prompt, so it is said in words."""
    request = order.request
    return f"{request.prompt}\n\nAvoid: {request.negative_prompt}" if request.negative_prompt else request.prompt


def _placed(fields: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, value in fields.items():
        place = body
        for step in _PLACES[name]:
            place = place.setdefault(step, {})
        place[name] = value
    return body


def _read(answer: _Answer) -> list[Step]:
    contents = [c.content for c in (answer.candidates or [])[:1] if c.content]
    parts = [p for content in contents for p in content.parts or [] if p.thought is not True]
    inline = next((p.inline_data for p in parts if p.inline_data), None)
    if inline is None:
        raise _without_picture(answer)
    try:
        made = picture(inline.data)
    except NotAPicture as error:
        raise bad_response(f"the provider's picture cannot be used: {error}") from error
    text = "".join(p.text for p in parts if isinstance(p.text, str))
    counts = told(answer.usage_metadata, _Counts)
    return [*([Text(text)] if text else []), made, *([] if counts is None else [_counted(counts)])]


def _counted(counts: _Counts) -> Usage:
    return Usage(
        input_tokens=counts.prompt_token_count,
        output_tokens=counts.candidates_token_count,
        total_tokens=counts.total_token_count,
    )


def _without_picture(answer: _Answer) -> ProviderError:
    blocked = isinstance(answer.prompt_feedback, dict) and answer.prompt_feedback.get("blockReason")
    reason = str(answer.candidates[0].finish_reason or "") if answer.candidates else ""
    if blocked or reason in _REFUSALS:
        return refused_policy(200, told(answer.response_id, str))
    return bad_response(f"the provider answered without a picture ({reason[:100] or 'no reason given'})")


def _failure(error: Exception) -> ProviderError:
    from jobs.providers.google.http import ErrorStatus

    if isinstance(error, ErrorStatus):
        return _answered_failure(error.status, error.headers, error.body)
    if isinstance(error, UnicodeDecodeError):  # a 200 that is no text
        return unreadable()
    return cut(error)


def _answered_failure(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    said = _said(body)
    if status in BAD_REQUEST and "API key" in said:  # Google answers 400 to a key that is not valid
        return refused_credential(status, None)
    if status == 404:  # noqa: PLR2004  # Google's answer to an unknown model
        return refused_model(status, None)
    if status in BAD_REQUEST:
        return refused_request(said, status, None)
    limit = quota.read(body)
    if status == 429 and limit.spent:  # noqa: PLR2004  # of a day: no rate that waiting for a while would meet
        return refused_account(status, None)
    after = retry_after(headers)
    return refused_status(status, None, limit.retry_after if after is None else after)


def _said(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError):
        return ""
