"""Where a gateway is and how long it is given; the same for both clients."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import httpx

URL: Final = "http://127.0.0.1:8000"
WAIT_SECONDS: Final = 600.0
"""How long a picture is waited for."""
PATIENCE_SECONDS: Final = 60.0
"""How long what is cut, or refused for now, is asked again."""
_ANSWER_SECONDS: Final = 30.0
"""For an answer, beside what it may wait."""


def connection(url: str | None, api_key: str | None) -> dict[str, Any]:
    """What httpx's clients are made with. A picture's own link gets no key of ours: that stays with the gateway."""
    key = api_key or os.environ.get("DARKROOM_API_KEY")
    return {
        "base_url": url or os.environ.get("DARKROOM_URL") or URL,
        "headers": {"User-Agent": "darkroom-python", **({"Authorization": f"Bearer {key}"} if key else {})},
        "follow_redirects": True,
        "timeout": timeout(0),
    }


def timeout(waits: float) -> httpx.Timeout:
    """For a request that may wait so many seconds at the gateway."""
    return httpx.Timeout(_ANSWER_SECONDS, read=waits + _ANSWER_SECONDS)


def many(wishes: Iterable[str | Mapping[str, Any]], common: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Each wish as the arguments of `generate`."""
    return [{**common, **({"prompt": wish} if isinstance(wish, str) else wish)} for wish in wishes]
