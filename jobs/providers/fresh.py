"""The httpx client of a provider without an SDK: as `connections`, and without loading aiohttp."""

from __future__ import annotations

from typing import Any

import httpx


def client(base_url: str, **told: Any) -> httpx.AsyncClient:
    """A client whose calls each have a fresh connection, and follow no redirect; to be closed by whoever asked for it.

    A connection that was kept may be closed by the far end just as an order leaves on it.
    """
    return httpx.AsyncClient(
        base_url=base_url, limits=httpx.Limits(max_keepalive_connections=0), follow_redirects=False, **told
    )
