"""Google's Imagen models by `:predict` with a key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx

from jobs.errors import ProviderError
from jobs.model.picture import Picture
from jobs.providers import fresh
from jobs.providers.answers import Document, documents, once
from jobs.providers.base import Answered, Order, Step
from jobs.providers.elsewhere import Elsewhere
from jobs.providers.errors import facts_within, judged_within
from jobs.providers.found import DAMAGED, Place, instead, told, unread
from jobs.providers.google.gemini import API_VERSION, GOOGLE, UNAUTHORIZED
from jobs.providers.google.refusal import refused
from jobs.providers.google.vertex import GoogleTokens, Vertex
from jobs.providers.options import merged
from jobs.providers.outcomes import bad_response, connect_seconds, cut, refused_policy, unreadable
from jobs.providers.replies import each, member, words

_OPTIONS: Final = frozenset(
    {"aspectRatio", "guidanceScale", "language", "personGeneration", "safetySetting", "sampleImageSize"}
)


class Imagen:
    """The provider `imagen`. `base_url` is that of another server with Google's paths; None: Google's.

    With `vertex` there is no key: it is called in that project, with `tokens`.
    """

    def __init__(
        self, *, api_key: str, base_url: str | None, vertex: Vertex | None = None, tokens: GoogleTokens | None = None
    ) -> None:
        self._base_url = base_url or (vertex.base_url if vertex else GOOGLE)
        self._api_key = api_key
        self._vertex = vertex
        self._tokens = tokens or GoogleTokens()
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """See `Provider.open`."""
        key = {} if self._vertex else {"x-goog-api-key": self._api_key}
        self._client = fresh.client(self._base_url, headers=key)

    async def close(self) -> None:
        """See `Provider.close`."""
        if self._client is not None:
            await self._client.aclose()

    async def generate(self, order: Order) -> AsyncIterator[Step]:
        """See `Provider.generate`. One call makes up to four."""
        request = order.request
        own = {
            "sampleCount": order.n,
            "aspectRatio": request.size,
            "negativePrompt": request.negative_prompt,
            "includeRaiReason": True,
        }
        parameters, ignored = merged(order, own, takes=lambda name: name in _OPTIONS)
        body = {"instances": [{"prompt": request.prompt}], "parameters": parameters}
        status, content, failure = await self._post(order, body)
        found = [document async for document in documents(once(content))]
        yield Answered(status=status)
        steps = await _read(found, Elsewhere(self._base_url))
        for step in (*steps, *ignored):
            yield step
        if not any(isinstance(step, Picture) for step in steps):
            raise failure or _without_picture(found, status, steps)

    async def _post(self, order: Order, body: Mapping[str, Any]) -> tuple[int, bytes, ProviderError | None]:
        """Status and body of a success, or of what came of one and how it ended. Raises `ProviderError`."""
        if self._client is None:
            raise RuntimeError("open() first")
        token = await self._tokens.token() if self._vertex else ""
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        told: dict[str, Any] = {
            "json": body,
            "headers": {"x-client-request-id": order.request_id, **bearer},
            "timeout": httpx.Timeout(order.timeout, connect=connect_seconds(order.timeout)),
        }
        model = order.request.model
        path = self._vertex.path(model, "predict") if self._vertex else f"/{API_VERSION}/models/{model}:predict"
        try:
            async with asyncio.timeout(order.timeout), self._client.stream("POST", path, **told) as answer:
                content, failure = await fresh.whole(answer)
        except (httpx.TransportError, TimeoutError) as error:
            raise cut(error) from error
        if answer.status_code == UNAUTHORIZED:
            self._tokens.forget(token)
        if not answer.is_success:
            raise failure or refused(answer.status_code, answer.headers, content)
        return answer.status_code, content, failure


async def _read(found: list[Document], elsewhere: Elsewhere) -> list[Step]:
    """The pictures: what was held back has a reason in its place."""
    texts = [member(one, "bytesBase64Encoded") for one in _predictions(found)]
    places = [Place(index=i, text=text) for i, text in enumerate(text for text in texts if text is not None)]
    steps = [step for place in places for step in await place.look(elsewhere)]
    if not any(isinstance(step, Picture) for step in steps):
        steps += instead(found) or unread(found)
    return [*steps, *([DAMAGED] if any(one.damaged for one in found) else [])]


def _without_picture(found: list[Document], status: int, steps: list[Step]) -> ProviderError:
    facts = next((f for d in found if (f := facts_within(d.value, named=d.name))), None)
    if facts is not None:
        return judged_within(facts, status, None)
    if all(document.value is None for document in found):
        return unreadable(status)
    reasons = [said for one in _predictions(found) if (said := words(member(one, "raiFilteredReason")))]
    if reasons:
        return refused_policy(status, None, reasons[0])
    return bad_response(f"the provider answered without a picture{told(steps)}", status=status)


def _predictions(found: list[Document]) -> list[Any]:
    return [one for document in found for one in each(member(document.value, "predictions"))]
