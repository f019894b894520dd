"""An API key's own rate limits at the door, and the headers that tell what is left of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from jobs.errors import RateLimited

if TYPE_CHECKING:
    from litestar import Request

    from jobs.api_key import ApiKey
    from jobs.rates import Allowance, Rates


async def spend(request: Request[Any, Any, Any], key: ApiKey) -> None:
    """Count the request; a key without limits costs nothing. Raises `RateLimited`."""
    windows = key.limits.windows
    if not windows:
        return
    rates: Rates = request.app.state.rates
    left = await rates.spend(key.id, windows)
    request.scope.setdefault("state", {})["allowance"] = left
    if left.refused:
        window = left.window
        message = f"this API key may ask {window.amount} times in {window.seconds} s"
        raise RateLimited(message, retry_after=left.reset_seconds, reason="key_limit", limit=window.amount)


def rate_headers(scope: Any) -> list[tuple[bytes, bytes]]:
    """`X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds) of the window that is nearest to its end."""
    left: Allowance | None = scope.get("state", {}).get("allowance")
    if left is None:
        return []
    told = {b"limit": left.window.amount, b"remaining": left.remaining, b"reset": math.ceil(left.reset_seconds)}
    return [(b"x-ratelimit-" + name, str(value).encode()) for name, value in told.items()]
