"""What a failed call means for the money, whichever SDK saw it (jobs/README.md, "Retries")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from jobs.errors import (
    DarkroomError,
    InvalidInput,
    Outcome,
    ProviderError,
    ProviderRateLimited,
    ServiceUnavailable,
    TimedOut,
)

CONNECT_SECONDS: Final = 5.0
"""What connecting may take at most."""
TROUBLES: Final[Mapping[str, str]] = {
    "credential": "the provider refused the gateway's credential",
    "account": "the provider refused the gateway's account: its money or quota is used up, or it is closed",
    "region": "the provider does not serve the region that the gateway calls from",
    "endpoint": "the provider does not know the address that the gateway called: its base URL or API version is wrong",
}
"""What only the gateway's operator can mend, by its name. What the provider said may hold the key: it is not told."""

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


def connect_seconds(total: float) -> float:
    """How long a call of `total` seconds may take to connect: so short that its end means that nothing was sent."""
    return min(CONNECT_SECONDS, total / 2)


def cut(error: BaseException, *, answered: bool = False) -> ProviderError:
    """The connection failed: before anything was sent, or after, when nobody knows what the provider did.

    With `answered` the far end had begun to answer, so it was after, whatever the exception calls itself.
    """
    chain = _judged(error)
    if not answered and any(kind.__name__ in _NOT_SENT for e in chain for kind in type(e).__mro__):
        message = "the provider cannot be reached"
        unreached = ServiceUnavailable(message, reason="provider_unavailable")
        return ProviderError(Outcome.NOT_SENT, unreached, cause=_why(chain))
    if any(isinstance(e, TimeoutError) or "Timeout" in type(e).__name__ for e in chain):
        message = "the provider did not answer in time; it may have made, and billed, the picture"
        return ProviderError(Outcome.UNKNOWN, TimedOut(message, reason="provider_timeout"))
    message = "the connection was cut after the request left: the provider may have made, and billed, the picture"
    return ProviderError(Outcome.UNKNOWN, ServiceUnavailable(message, reason="outcome_unknown"))


def unreadable(status: int) -> ProviderError:
    """A success that cannot be read: nobody knows whether there was a picture in it."""
    error = ServiceUnavailable("the provider's answer cannot be read", reason="outcome_unknown")
    return ProviderError(Outcome.UNKNOWN, error, provider_status=status)


def bad_response(message: str, *, status: int = 200) -> ProviderError:
    """A success without a picture: paid for, and final."""
    error = ServiceUnavailable(message, reason="provider_bad_response")
    return ProviderError(Outcome.BAD_RESPONSE, error, provider_status=status)


def refused_status(status: int, request_id: str | None, after: float | None) -> ProviderError:
    """An answered error status that says nothing of the request itself.

    Beside 502 and 504 those of gateways and content networks that gave up on the server behind them, or on whoever
    asked: 408, 499 (nginx), 520, 522 and 524 (Cloudflare). The order had arrived, and may have been served. Beside 503
    those of who is too early (425) or too late at a full house (529, Anthropic and others).
    """
    error: ServiceUnavailable
    match status:
        case 429:
            outcome, error = Outcome.THROTTLED, ProviderRateLimited(retry_after=after)
        case 425 | 503 | 529:
            message = "the provider is not available"
            outcome, error = Outcome.THROTTLED, _unavailable(message, after)
        case 408 | 499 | 502 | 504 | 520 | 522 | 524:
            message = f"the provider's own gateway answered {status}: the picture may have been made, and billed"
            outcome = Outcome.UNKNOWN
            error = ServiceUnavailable(message, reason="outcome_unknown", retry_after=after)
        case status if 300 <= status < 400:  # noqa: PLR2004  # HTTP
            message = (
                f"the provider answered {status}, a redirect, which is not followed: the gateway has its old address"
            )
            outcome, error = Outcome.REFUSED, _unavailable(message, after)
        case _:
            message = f"the provider answered with status {status}"
            outcome, error = Outcome.REFUSED, _unavailable(message, after)
    return ProviderError(outcome, error, provider_status=status, provider_request_id=request_id, retry_after=after)


def refused_gateway(trouble: str, status: int, request_id: str | None) -> ProviderError:
    """Ours to mend, not the caller's: one of `TROUBLES`."""
    error = ServiceUnavailable(TROUBLES[trouble], reason="provider_unavailable")
    refused = _refused(error, status, request_id)
    refused.trouble = trouble
    return refused


def no_token(why: str) -> ProviderError:
    """Nothing was sent, for there is no token of our own identity; `why` is for the log."""
    message = "there is no token of the gateway's own identity"
    error = ServiceUnavailable(message, reason="provider_unavailable")
    unsent = ProviderError(Outcome.NOT_SENT, error, cause=why)
    unsent.trouble = "credential"
    return unsent


def refused_policy(status: int, request_id: str | None, words: str = "") -> ProviderError:
    """The provider will not draw that; `words` are its own."""
    message = f"the provider refused the prompt under its content policy{words and ': '}{words}"
    return _refused(InvalidInput(message, reason="content_policy", field="prompt"), status, request_id)


def refused_model(status: int, request_id: str | None) -> ProviderError:
    """The provider has no such model."""
    message = "the provider knows no such model or deployment"
    return _refused(InvalidInput(message, field="model", reason="model_not_found"), status, request_id)


def refused_request(words: str, status: int, request_id: str | None, *, field: str | None = None) -> ProviderError:
    """The provider found fault with the request, in its own words and its own field."""
    message = f"the provider refused the request{words and ': '}{words}"
    return _refused(InvalidInput(message, field=field), status, request_id)


def _refused(error: DarkroomError, status: int, request_id: str | None) -> ProviderError:
    return ProviderError(Outcome.REFUSED, error, provider_status=status, provider_request_id=request_id)


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


def _unavailable(message: str, after: float | None) -> ServiceUnavailable:
    return ServiceUnavailable(message, reason="provider_unavailable", retry_after=after)


def _why(chain: list[BaseException]) -> str:
    """Why nothing was sent, for the log: the kind of trouble and the host that was asked."""
    below = (getattr(error, "os_error", None) for error in chain)  # what aiohttp keeps of the system's own
    kinds = {kind.__name__ for error in (*chain, *below) for kind in type(error).__mro__}
    host = next((f"{e.host}:{e.port}" for e in chain if hasattr(e, "host") and hasattr(e, "port")), "")
    words = next((word for kind, word in _WHY if kind in kinds), "no connection")
    return f"{words}{host and ' at '}{host}"


_WHY: Final = (
    ("ClientConnectorDNSError", "the name is not known (DNS)"),
    ("ClientSSLError", "no TLS could be agreed"),
    ("SSLError", "no TLS could be agreed"),
    ("ConnectionRefusedError", "the connection was refused"),
    ("TimeoutError", "connecting took too long"),
)
"""By the exception's class, the closest first."""
