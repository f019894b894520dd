"""Everything that can go wrong, named once: its code, and whether asking again may help."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar


class DarkroomError(Exception):
    """A failure that callers may read: its message and details are safe to show.

    `details` holds facts for machines (`field`, `jobId`, …); `retry_after` is in seconds. `reason`, one of the details,
    tells the outside apart what has the same code: code of ours goes by the class.
    """

    code: ClassVar[str] = "SYSTEM_ERROR"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.details: dict[str, Any] = {k: v for k, v in details.items() if v is not None}

    @property
    def reason(self) -> str | None:
        """The `reason` of the details, to be written down or shown."""
        return self.details.get("reason")


class InvalidInput(DarkroomError):
    """The request cannot be read or asks for what does not exist; `field` names the place."""

    code = "INVALID_INPUT"


class InvalidPicture(DarkroomError):
    """A reference image or mask cannot be used (shape, bytes, size, address)."""

    code = "VALIDATION_ERROR"


class Unauthorized(DarkroomError):
    """No credential, or one that does not hold."""

    code = "UNAUTHORIZED"


class Forbidden(DarkroomError):
    """A good credential that lacks the right."""

    code = "FORBIDDEN"


class NotFound(DarkroomError):
    """Unknown, or another org's: the two are told apart by nobody."""

    code = "NOT_FOUND"


class Gone(DarkroomError):
    """Erased, or past its retention."""

    code = "GONE"


class MethodNotAllowed(DarkroomError):
    """The path exists and does not take this method."""

    code = "METHOD_NOT_ALLOWED"


class NotAcceptable(DarkroomError):
    """None of the media types that the caller accepts can be made."""

    code = "NOT_ACCEPTABLE"


class PayloadTooLarge(DarkroomError):
    """The body, or a picture in it, is larger than allowed."""

    code = "PAYLOAD_TOO_LARGE"


class UnsupportedMediaType(DarkroomError):
    """The body's content type or encoding is not one that the route reads."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class JobCanceled(DarkroomError):
    """The result of a job that was canceled."""

    code = "JOB_CANCELED"


class IdempotencyKeyReused(DarkroomError):
    """The idempotency key belongs to a job with another request."""

    code = "IDEMPOTENCY_KEY_REUSED"


class QueueFull(DarkroomError):
    """The queue is longer than the caller, or the org's limit, accepts."""

    code = "QUEUE_FULL"
    retryable = True


class QuotaExceeded(DarkroomError):
    """The org, or the API key (`whose`: `org` or `key`), has used up a quota of the day.

    `retry_after` says when the next day (UTC) begins.
    """

    code = "QUOTA_EXCEEDED"

    def __init__(self, name: str, whose: str, *, retry_after: float) -> None:
        owner = "API key" if whose == "key" else whose
        message = f"your {owner}'s {name} is used up for today (UTC)"
        super().__init__(message, retry_after=retry_after, quota=name, quotaOf=whose)


class RateLimited(DarkroomError):
    """The caller asked more often than it may; `retry_after` says when there is room again."""

    code = "RATE_LIMITED"
    retryable = True


class TooManyStreams(DarkroomError):
    """As many event streams are open as this process serves."""

    code = "TOO_MANY_STREAMS"
    retryable = True


class ServiceUnavailable(DarkroomError):
    """Something that we need is not there just now; `reason` says which."""

    code = "SERVICE_UNAVAILABLE"
    retryable = True


class StoreUnavailable(ServiceUnavailable):
    """The job store cannot be reached: what it was asked for may have been done all the same."""

    def __init__(self) -> None:
        super().__init__("the job store cannot be reached just now", reason="store_unavailable", retry_after=2)


class ProviderUnconfigured(ServiceUnavailable):
    """A provider without the setting that it needs; `variable` names it."""

    def __init__(self, provider: str, variable: str) -> None:
        message = f"{provider} is not configured here: {variable} is not set"
        super().__init__(message, reason="provider_unconfigured", provider=provider, variable=variable)


class ProviderRateLimited(ServiceUnavailable):
    """The provider limits our rate: that says nothing of its health."""

    def __init__(self, *, retry_after: float | None) -> None:
        super().__init__("the provider limits our rate", reason="provider_rate_limited", retry_after=retry_after)


class TimedOut(DarkroomError):
    """A wait, a call or a deadline ended first; `reason` says which."""

    code = "TIMEOUT"
    retryable = True


class Outcome(StrEnum):
    """What is known of a paid call that has ended (jobs/README.md, "Retries")."""

    SUCCEEDED = "succeeded"
    """It brought its pictures. Charged."""
    NOT_SENT = "not_sent"
    """Nothing left: DNS, connect, TLS, pool. Never charged; tried again."""
    THROTTLED = "throttled"
    """Answered 429, 503, 425 or 529. Not charged; tried again after `retry_after`."""
    REFUSED = "refused"
    """Answered with any other error status. Not charged; final."""
    BAD_RESPONSE = "bad_response"
    """A success without a usable picture. Charged; final."""
    UNKNOWN = "unknown"
    """Cut or timed out after sending, 502, 504, an unreadable success. Perhaps charged; never sent again unasked."""


class ProviderError(DarkroomError):
    """What a provider adapter raises: the far end's own words, already made ours.

    `outcome` decides what the engine may do next; `error` is what the caller is told when it is final. For operators:
    `cause` says why nothing was sent, `trouble` names what only they can mend.
    """

    def __init__(  # noqa: PLR0913  # each says another thing of the call, by name
        self,
        outcome: Outcome,
        error: DarkroomError,
        *,
        provider_status: int | None = None,
        provider_request_id: str | None = None,
        retry_after: float | None = None,
        cause: str | None = None,
    ) -> None:
        super().__init__(error.message, retry_after=retry_after)
        self.cause = cause
        self.trouble: str | None = None
        self.outcome = outcome
        self.error = error
        self.provider_status = provider_status
        self.provider_request_id = provider_request_id


class ConfigurationError(Exception):
    """A setting is missing or wrong: one line that names the variable and gives an example."""
