"""What a provider call brought beside its pictures, and what one that failed says to the job and of the provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog

from jobs.errors import DarkroomError, Outcome, ProviderError, ProviderRateLimited, ServiceUnavailable, TimedOut
from jobs.model.job import Failure, Job
from jobs.model.picture import Usage
from jobs.model.request import Warning_
from jobs.providers.base import Answered, Text, Warned
from jobs.store.breaker import Verdict

CHARGED: Final[Mapping[Outcome, bool | None]] = {
    Outcome.NOT_SENT: False,
    Outcome.THROTTLED: False,
    Outcome.REFUSED: False,
    Outcome.BAD_RESPONSE: True,
    Outcome.UNKNOWN: None,
}
"""Whether a failed call was charged; None: nobody knows."""

_log = structlog.get_logger()


class CallReport:
    """What a provider call has brought so far, beside its pictures."""

    def __init__(self, warnings: tuple[Warning_, ...]) -> None:
        self.pictures = 0
        self.status: int | None = None
        self.request_id: str | None = None
        self.usage: Usage | None = None
        self.text: str | None = None
        self.warnings = [*warnings]
        self.kept: list[str] = []
        """Under which names the operator finds what came and is no picture."""

    def take(self, step: Answered | Usage | Text | Warned) -> None:
        """Take one step that is no picture."""
        match step:
            case Answered():
                self.status, self.request_id = step.status, step.request_id
            case Usage():
                self.usage = step
            case Text():
                self.text = step.text
            case Warned():
                said = "option ignored" if step.code == "ignored_option" else "provider warned"
                _log.warning(said, code=step.code, field=step.field)
                self.warnings.append(Warning_(code=step.code, message=step.message, field=step.field))

    def where_kept(self) -> str:
        """The end of a failure's words."""
        return f"; what came is kept for a day as {', '.join(self.kept)}" if self.kept else ""

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


def log_ignored(job: Job) -> None:
    """Tell operators of what was asked of a model that does not take it, with the first call that is made for it."""
    if len(job.attempts) == 1:
        for warning in job.warnings:
            if warning.code == "ignored_option":
                _log.warning("option ignored", model=job.request.model, field=warning.field)


def log_called(job: Job, account: str, call: int, report: CallReport) -> None:
    """Tell operators of a call that ended well."""
    _log.info(
        "provider called",
        call=call,
        provider=account,
        model=job.request.model,
        provider_request_id=report.request_id,
        pictures=report.pictures,
    )


def failure_of(error: ProviderError, provider: str, report: CallReport, *, safe_to_retry: bool) -> Failure:
    """How a call failed, as the record keeps it."""
    return Failure(
        code=error.error.code,
        message=error.error.message + report.where_kept(),
        reason=error.error.reason,
        field=error.error.details.get("field"),
        provider=provider,
        provider_status=error.provider_status or report.status,
        provider_request_id=error.provider_request_id or report.request_id,
        retryable=error.error.retryable,
        safe_to_retry=safe_to_retry,
        retry_after=error.retry_after,
    )
