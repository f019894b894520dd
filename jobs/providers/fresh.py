"""The httpx client of a provider without an SDK (as `connections`, and without loading aiohttp), and its answers."""

from __future__ import annotations

from typing import Any

import httpx

from jobs.errors import ProviderError
from jobs.providers.outcomes import cut


def client(base_url: str, **told: Any) -> httpx.AsyncClient:
    """A client whose calls each have a fresh connection, and follow no redirect; to be closed by whoever asked for it.

    A connection that was kept may be closed by the far end just as an order leaves on it.
    """
    return httpx.AsyncClient(
        base_url=base_url, limits=httpx.Limits(max_keepalive_connections=0), follow_redirects=False, **told
    )


async def whole(answer: httpx.Response) -> tuple[bytes, ProviderError | None]:
    """The body, or as much of it as came before its connection was cut, and the cut."""
    content = bytearray()
    try:
        async for piece in answer.aiter_bytes():
            content += piece
    except httpx.TransportError as error:
        return bytes(content), cut(error, answered=True)
    return bytes(content), None
