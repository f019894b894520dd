"""Google Gemini's image models by `generateContent`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from jobs.errors import InvalidInput, Outcome, ProviderError
from jobs.model import Picture, Usage
from jobs.providers.base import Answered, Order, Step, Text
from jobs.providers.outcomes import bad_response, cut, refused_status, retry_after

if TYPE_CHECKING:
    from google.genai import Client, types

API_VERSION: Final = "v1beta"
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


class Gemini:
    """The provider `gemini`. `base_url` is that of another server with Gemini's paths; None: Google's."""

    def __init__(self, *, api_key: str, base_url: str | None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._client: Client | None = None

    async def open(self) -> None:
        """Import the SDK and make the client; its own retries are off."""
        from google.genai import Client, types  # noqa: PLC0415  # the SDK is 49 MB

        self._client = Client(
            api_key=self._api_key,
            http_options=types.HttpOptions(
                base_url=self._base_url,
                api_version=API_VERSION,
                retry_options=types.HttpRetryOptions(attempts=1),
            ),
        )

    async def close(self) -> None:
        """See `Provider.close`."""
        if self._client is not None:
            await self._client.aio.aclose()
            self._client.close()

    async def generate(self, order: Order) -> AsyncIterator[Step]:
        """See `Provider.generate`. One call makes one picture."""
        try:
            async with asyncio.timeout(order.timeout):
                answer = await self._send(order)
        except ProviderError:
            raise
        except Exception as error:
            raise _failure(error) from error
        yield Answered(status=200, request_id=answer.response_id)
        for step in _read(answer):
            yield step

    async def _send(self, order: Order) -> types.GenerateContentResponse:
        from google.genai import types  # noqa: PLC0415

        if self._client is None:
            raise RuntimeError("open() first")
        parts: list[Any] = [types.Part.from_bytes(data=p.data, mime_type=p.media_type) for p in order.images]
        return await self._client.aio.models.generate_content(
            model=order.request.model,
            contents=[*parts, types.Part.from_text(text=prompt_of(order))],
            config=types.GenerateContentConfig(
                response_modalities=["TEXT", "IMAGE"],
                image_config=types.ImageConfig(aspect_ratio=order.request.size) if order.request.size else None,
                http_options=types.HttpOptions(
                    timeout=round(order.timeout * 1000), headers={"x-client-request-id": order.request_id}
                ),
            ),
        )


def prompt_of(order: Order) -> str:
    """The text part: Gemini has no field for a negative prompt, so it is said in words."""
    request = order.request
    return f"{request.prompt}\n\nAvoid: {request.negative_prompt}" if request.negative_prompt else request.prompt


def _read(answer: types.GenerateContentResponse) -> list[Step]:
    candidates = answer.candidates or []
    parts = [p for c in candidates[:1] if c.content for p in c.content.parts or []]
    steps: list[Step] = [Text(p.text) for p in parts if p.text]
    pictures = [p.inline_data for p in parts if p.inline_data and p.inline_data.data]
    if not pictures:
        raise _without_picture(answer)
    first = pictures[0]
    steps.append(Picture(data=first.data or b"", media_type=first.mime_type or ""))
    counts = answer.usage_metadata
    if counts is not None:
        steps.append(
            Usage(
                input_tokens=counts.prompt_token_count,
                output_tokens=counts.candidates_token_count,
                total_tokens=counts.total_token_count,
            )
        )
    return steps


def _without_picture(answer: types.GenerateContentResponse) -> ProviderError:
    blocked = answer.prompt_feedback and answer.prompt_feedback.block_reason
    finish = answer.candidates[0].finish_reason if answer.candidates else None
    reason = str(getattr(finish, "value", finish) or "")
    if blocked or reason in _REFUSALS:
        message = "the provider refused the prompt under its content policy"
        error = InvalidInput(message, reason="content_policy", field="prompt")
        return ProviderError(Outcome.REFUSED, error, provider_status=200, provider_request_id=answer.response_id)
    return bad_response(f"the provider answered without a picture ({reason or 'no reason given'})")


def _failure(error: Exception) -> ProviderError:
    from google.genai import errors  # noqa: PLC0415

    if isinstance(error, errors.APIError):
        return _answered_failure(error)
    if isinstance(error, ValueError):  # a 200 whose JSON cannot be read
        return cut(ConnectionError("unreadable answer"))
    return cut(error)


def _answered_failure(error: Any) -> ProviderError:
    status = int(error.code)
    headers = getattr(error.response, "headers", None) or {}
    said = str(error.message or "")[:500]
    if status not in {400, 404, 413, 422} or "API key" in said:
        return refused_status(401 if "API key" in said else status, None, retry_after(headers))
    if status == 404:  # noqa: PLR2004  # Google's answer to an unknown model
        refusal = InvalidInput("the provider knows no such model", field="model")
    else:
        refusal = InvalidInput(f"the provider refused the request: {said}")
    return ProviderError(Outcome.REFUSED, refusal, provider_status=status)
