"""An API key's own rate limits at the door, and the headers that tell what is left of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from jobs.access.rates import nearest
from jobs.errors import RateLimited

if TYPE_CHECKING:
    from jobs.access.api_key import ApiKey
    from jobs.access.rates import Allowance, Rates


async def spend(scope: Any, rates: Rates, key: ApiKey, *, looks: bool = False) -> None:
    """Count the request of this scope; a key without limits costs nothing. Raises `RateLimited`.

    `looks`: it asks for nothing new, and is counted apart.
    """
    windows = key.limits.looks if looks else key.limits.windows
    if not windows:
        return
    left = await rates.spend(f"{key.id}:looks" if looks else key.id, windows)
    scope.setdefault("state", {})["allowances"] = left
    first = nearest(left)
    if first.refused:
        window = first.window
        verb = "look at its jobs" if looks else "ask"
        message = f"this API key may {verb} {window.amount} times in {window.seconds} s"
        raise RateLimited(message, retry_after=first.reset_seconds, reason="key_limit", limit=window.amount)


def rate_headers(scope: Any) -> list[tuple[bytes, bytes]]:
    """What is left of the key's windows, for callers of both kinds.

    `RateLimit-Policy` and `RateLimit` name every window (draft-ietf-httpapi-ratelimit-headers-10; times in seconds);
    `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds) tell of the one that is nearest to its end.
    """
    left: tuple[Allowance, ...] = scope.get("state", {}).get("allowances", ())
    if not left:
        return []
    first = nearest(left)
    told = {
        "ratelimit-policy": ", ".join(f'"{a.window.name}";q={a.window.amount};w={a.window.seconds}' for a in left),
        "ratelimit": ", ".join(f'"{a.window.name}";r={a.remaining};t={_whole(a.reset_seconds)}' for a in left),
        "x-ratelimit-limit": first.window.amount,
        "x-ratelimit-remaining": first.remaining,
        "x-ratelimit-reset": _whole(first.reset_seconds),
    }
    return [(name.encode(), str(value).encode()) for name, value in told.items()]


def _whole(seconds: float) -> int:
    """At least 1, as `Retry-After` has it: a window that begins this very millisecond is told as 0."""
    return max(1, math.ceil(seconds))
