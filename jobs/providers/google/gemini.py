"""Google Gemini's image models by `generateContent`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from jobs.errors import ProviderError
from jobs.model.picture import Picture
from jobs.providers.answers import documents, once
from jobs.providers.base import Answered, Order, Step
from jobs.providers.elsewhere import Elsewhere
from jobs.providers.google.reading import Answer
from jobs.providers.google.refusal import refused
from jobs.providers.google.vertex import API_VERSION as VERTEX_VERSION
from jobs.providers.google.vertex import GoogleTokens, Vertex
from jobs.providers.options import merged
from jobs.providers.outcomes import cut

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from google.genai import Client

API_VERSION: Final = "v1beta"
UNAUTHORIZED: Final = 401
GOOGLE: Final = "https://generativelanguage.googleapis.com"
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


class Gemini:
    """The provider `gemini`. `base_url` is that of another server with Gemini's paths; None: Google's.

    With `vertex` there is no key: it is called in that project, with `tokens`.
    """

    def __init__(
        self, *, api_key: str, base_url: str | None, vertex: Vertex | None = None, tokens: GoogleTokens | None = None
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._vertex = vertex
        self._tokens = tokens or GoogleTokens()
        self._client: Client | None = None
        self._session: ClientSession | None = None

    async def open(self) -> None:
        """Import the SDK and make the client; its own retries are off."""
        from jobs.providers.google.http import session  # aiohttp is loaded with the SDK

        self._session = session()
        if self._vertex is None:
            await self._make()

    async def _make(self, **vertex: Any) -> Client:
        from google.genai import Client, types  # the SDK is 49 MB

        if self._client is None:
            self._client = Client(
                **(vertex or {"api_key": self._api_key}),
                http_options=types.HttpOptions(
                    base_url=self._base_url,
                    api_version=VERTEX_VERSION if vertex else API_VERSION,
                    retry_options=types.HttpRetryOptions(attempts=1),
                    aiohttp_client=self._session,
                ),
            )
        return self._client

    async def close(self) -> None:
        """See `Provider.close`."""
        if self._client is not None:
            await self._client.aio.aclose()
            self._client.close()
        if self._session is not None:
            await self._session.close()

    async def generate(self, order: Order) -> AsyncIterator[Step]:
        """See `Provider.generate`. One call makes one picture."""
        token = await self._ready()
        fields, ignored = merged(order, {"aspectRatio": order.request.size}, takes=lambda name: name in _PLACES)
        try:
            status, body, failure = await self._answered(order, fields)
        except ProviderError as error:
            if error.provider_status == UNAUTHORIZED:
                self._tokens.forget(token)
            raise
        answer = Answer([document async for document in documents(once(body))], status)
        yield Answered(status=status, request_id=answer.request_id)
        steps = await answer.read(Elsewhere(self._base_url or GOOGLE))
        for step in (*steps, *ignored):
            yield step
        if not any(isinstance(step, Picture) for step in steps):
            raise failure or answer.without_picture(steps)

    async def _ready(self) -> str:
        """Have a token before anything is sent: where there is none, nothing was."""
        if self._vertex is None:
            return ""
        token = await self._tokens.token()
        place = {"project": self._vertex.project, "location": self._vertex.location}
        await self._make(vertexai=True, credentials=await self._tokens.credentials(), **place)
        return token

    async def _answered(self, order: Order, fields: Mapping[str, Any]) -> tuple[int, bytes, ProviderError | None]:
        """Status and body of a success, or of what came of one and how it ended. Raises `ProviderError`."""
        from jobs.providers.google import http  # aiohttp is loaded with the SDK

        try:
            async with asyncio.timeout(order.timeout):
                await self._send(order, fields)
        except http.Answer as answer:
            if answer.status in range(200, 300):
                return answer.status, answer.body, None
            raise refused(answer.status, answer.headers, answer.body) from None
        except http.CutAnswer as error:
            return error.status, error.body, cut(error, answered=True)
        except Exception as error:
            raise cut(error) from error
        raise RuntimeError("every call ends as an answer or an error")

    async def _send(self, order: Order, fields: Mapping[str, Any]) -> None:
        from google.genai import types

        if self._client is None:
            raise RuntimeError("open() first")
        parts: list[Any] = [types.Part.from_bytes(data=p.data, mime_type=p.media_type) for p in order.images]
        await self._client.aio.models.generate_content(
            model=order.request.model,
            contents=[*parts, types.Part.from_text(text=prompt_of(order))],
            config=types.GenerateContentConfig(
                response_modalities=["TEXT", "IMAGE"],
                http_options=types.HttpOptions(
                    timeout=round(order.timeout * 1000),
                    headers={"x-client-request-id": order.request_id},
                    extra_body=_placed(fields),
                ),
            ),
        )


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
