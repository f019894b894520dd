"""JSON that another server is asked for to know a caller: bounded, whatever that server sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx


async def fetched_json(client: httpx.AsyncClient, url: str, max_bytes: int, headers: Mapping[str, str]) -> Any:
    """What the address answers with 200. Raises `httpx.HTTPError`, `ValueError`."""
    body = bytearray()
    async with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code != httpx.codes.OK:
            raise ValueError(answer.status_code)
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > max_bytes:
                raise ValueError("too large")
    return httpx.Response(200, content=bytes(body)).json()
