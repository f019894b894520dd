"""What a provider call brought beside its pictures, and what one that failed says to the job and of the provider."""

from __future__ import annotations

from typing import Any

from jobs.errors import DarkroomError, Outcome, ProviderError, ProviderRateLimited, ServiceUnavailable, TimedOut
from jobs.model.job import Failure
from jobs.model.picture import Usage
from jobs.model.request import Warning_
from jobs.store.breaker import Verdict


class CallReport:
    """What a provider call has brought so far, beside its pictures."""

    def __init__(self) -> None:
        self.pictures = 0
        self.status: int | None = None
        self.request_id: str | None = None
        self.usage: Usage | None = None
        self.text: str | None = None
        self.warnings: list[Warning_] = []

    def columns(self) -> dict[str, Any]:
        """What the call's row in the ledger has of it, however the call ended."""
        return {"usage": self.usage, "text": self.text, "warnings": tuple(self.warnings)}


def verdict_on(error: ProviderError) -> Verdict:
    """What a failed call says of the provider's health: a refusal of what was asked is an answer like any other."""
    if isinstance(error.error, ProviderRateLimited):
        return Verdict.BUSY
    ours = error.outcome is Outcome.BAD_RESPONSE or not isinstance(error.error, ServiceUnavailable | TimedOut)
    return Verdict.GOOD if ours else Verdict.BAD


def not_stored(error: DarkroomError) -> ProviderError:
    """A picture that was paid for and that the blob store did not take."""
    error.details["reason"] = "upload_failed"
    return ProviderError(Outcome.BAD_RESPONSE, error)


def failure_of(error: ProviderError, provider: str, report: CallReport, *, safe_to_retry: bool) -> Failure:
    """How a call failed, as the record keeps it."""
    return Failure(
        code=error.error.code,
        message=error.error.message,
        reason=error.error.reason,
        field=error.error.details.get("field"),
        provider=provider,
        provider_status=error.provider_status or report.status,
        provider_request_id=error.provider_request_id or report.request_id,
        retryable=error.error.retryable,
        safe_to_retry=safe_to_retry,
        retry_after=error.retry_after,
    )
