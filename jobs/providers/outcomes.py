"""What a failed call means for the money, whichever SDK saw it (JOBS.md 6.4)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from jobs.errors import Outcome, ProviderError, ServiceUnavailable, TimedOut

_NOT_SENT: Final = frozenset(
    {
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "ClientConnectorError",
        "ConnectionTimeoutError",
    }
)
"""Exceptions of httpx, httpx2 and aiohttp after which nothing has left, by name: the transports share no base class."""


def cut(error: BaseException) -> ProviderError:
    """The connection failed: before anything was sent, or after, when nobody knows what the provider did."""
    chain = _judged(error)
    if any(kind.__name__ in _NOT_SENT for e in chain for kind in type(e).__mro__):
        message = "the provider cannot be reached"
        return ProviderError(Outcome.NOT_SENT, ServiceUnavailable(message, reason="provider_unavailable"))
    if any(isinstance(e, TimeoutError) or "Timeout" in type(e).__name__ for e in chain):
        message = "the provider did not answer in time; it may have made, and billed, the picture"
        return ProviderError(Outcome.UNKNOWN, TimedOut(message, reason="provider_timeout"))
    message = "the connection was cut after the request left: the provider may have made, and billed, the picture"
    return ProviderError(Outcome.UNKNOWN, ServiceUnavailable(message, reason="outcome_unknown"))


def refused_status(status: int, request_id: str | None, after: float | None) -> ProviderError:
    """An answered error status that says nothing of the request itself."""
    match status:
        case 429:
            outcome, reason, message = Outcome.THROTTLED, "provider_rate_limited", "the provider limits our rate"
        case 503:
            outcome, reason, message = Outcome.THROTTLED, "provider_unavailable", "the provider is not available"
        case 502 | 504:
            outcome, reason = Outcome.UNKNOWN, "outcome_unknown"
            message = f"the provider's own gateway answered {status}: the picture may have been made, and billed"
        case 401 | 403:
            outcome, reason = Outcome.REFUSED, "provider_unavailable"
            message = "the provider refused the gateway's credential"
        case _:
            outcome, reason = Outcome.REFUSED, "provider_unavailable"
            message = f"the provider answered with status {status}"
    error = ServiceUnavailable(message, reason=reason, retry_after=after)
    return ProviderError(outcome, error, provider_status=status, provider_request_id=request_id, retry_after=after)


def bad_response(message: str, *, status: int = 200) -> ProviderError:
    """A success without a picture: paid for, and final."""
    error = ServiceUnavailable(message, reason="provider_bad_response")
    return ProviderError(Outcome.BAD_RESPONSE, error, provider_status=status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of `retry-after-ms` or `Retry-After` (RFC 9110: seconds or a date), or None."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        text = headers.get("retry-after") or headers.get("Retry-After")
        if not text:
            return None
        if text.strip().replace(".", "", 1).isdigit():
            return float(text)
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _judged(error: BaseException) -> list[BaseException]:
    """The exceptions that say what happened to the connection.

    Where aiohttp is below, its own word alone counts: the bridge to httpx2 calls every cut connection, also one that
    was cut after the order left, a `ConnectTimeout`, and a picture would be bought twice.
    """
    chain = list(_causes(error))
    return [e for e in chain if type(e).__module__.startswith("aiohttp")] or chain


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
