"""The ledger of a job: one row for each provider call."""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec.structs import replace

from jobs.errors import DarkroomError, Outcome
from jobs.model import fallback
from jobs.model.job import Attempt, BillingState, Failure, Job, Status
from jobs.model.states import Move, leads


def close_open(job: Job, now: int, calls: tuple[Attempt, ...] | None = None) -> Job:
    """Close the ledger rows of whose end nobody wrote: all of them, or those of `calls`."""
    closing = {a.call for a in (open_rows(job) if calls is None else calls)}
    unknown = Failure(
        code="SERVICE_UNAVAILABLE",
        message="the call's end was not seen: the provider may have made, and billed, the picture",
        reason="outcome_unknown",
        provider=job.request.provider,
        retryable=True,
        safe_to_retry=False,
    )
    stuck = Failure(
        code="SYSTEM_ERROR",
        message="the picture was made, and the blob store did not take it in time; it may still be salvaged",
        reason="upload_failed",
        provider=job.request.provider,
        safe_to_retry=False,
    )
    rows = tuple(
        a
        if a.call not in closing
        else replace(a, ended_ms=now, outcome=Outcome.SUCCEEDED, charged=True, failure=stuck)
        if a.spool
        else replace(a, ended_ms=now, outcome=Outcome.UNKNOWN, charged=_paid(job, a), failure=unknown)
        for a in job.attempts
    )
    return replace(job, attempts=rows)


def _paid(job: Job, row: Attempt) -> bool | None:
    """A call of which one picture is there was charged, whatever became of the others."""
    return True if {i.index for i in job.images} & set(row.indexes) else row.charged


_RATE: Final = "provider_rate_limited"
RETRIED: Final = frozenset({Outcome.NOT_SENT, Outcome.THROTTLED})
"""Outcomes known not to have been charged: the call may be made again."""


def row_of(job: Job, call: int) -> Attempt:
    """The ledger row of a call."""
    return job.attempts[call - 1]


def open_rows(job: Job) -> tuple[Attempt, ...]:
    """Calls that were begun and of whose end nobody has written."""
    return tuple(a for a in job.attempts if a.ended_ms is None)


def open_call(job: Job, indexes: tuple[int, ...]) -> int:
    """The number of the open call for these pictures."""
    return next(a.call for a in open_rows(job) if a.indexes == indexes)


def number_for(job: Job, indexes: tuple[int, ...], account: str) -> int:
    """The number of the next call for these pictures, and of its row.

    Of calls that came too soon for an account only the first keeps its row: a job waits as long as it takes, and
    nothing can have come of the others under their number.
    """
    here = (a for a in job.attempts if a.indexes == indexes and not fallback.left_behind(job, a))
    soon = [a.call for a in here if came_too_soon(a) and _asked(a) == account]
    return soon[-1] if len(soon) > 1 else len(job.attempts) + 1


def came_too_soon(row: Attempt) -> bool:
    """Whether a call was refused for its time alone: for our rate, or with word of when to come back."""
    told = row.failure
    return row.outcome == Outcome.THROTTLED and told is not None and bool(told.reason == _RATE or told.retry_after)


def waits_for_pace(job: Job) -> bool:
    """Whether all that is missing is missing because its calls came too soon, or have not had their turn.

    Of several accounts one is enough that has only to be waited for.
    """
    calls = [_calls_for(job, index) for index in to_make(job)]
    last = [{_asked(a): a for a in rows}.values() for rows in calls]
    return bool(last) and all(not rows or any(map(came_too_soon, rows)) for rows in last)


def only_waits(job: Job) -> bool:
    """Whether the very last call for each picture that is missing came too soon."""
    calls = [_calls_for(job, index) for index in to_make(job)]
    return all(not rows or came_too_soon(rows[-1]) for rows in calls)


def tries(job: Job) -> int:
    """How often in vain the account was called that was called the most, beside the calls that came too soon."""
    here = [a for a in job.attempts if not fallback.left_behind(job, a) and not came_too_soon(a)]
    counts = Counter(_asked(a) for a in here if a.outcome in RETRIED or a.elsewhere)
    return max(counts.values(), default=0)


def _calls_for(job: Job, index: int) -> list[Attempt]:
    """The calls for a picture at the target where the job is, in their order."""
    here = [a for a in job.attempts if index in a.indexes and not fallback.left_behind(job, a)]
    return sorted(here, key=lambda a: a.started_ms)


def _asked(row: Attempt) -> str:
    """The account that a call went to."""
    return row.account or row.provider


def frees_room(before: Job, after: Job) -> bool:
    """Whether a move gives the job's room at its provider back: no worker has the job after it, and no call is open."""
    left = not before.status.terminal and after.status not in {Status.RUNNING, Status.CANCELING}
    return left and not open_rows(before)


def possibly_stored(job: Job) -> tuple[tuple[int, int], ...]:
    """Pictures, by call and index, that a call may have stored, or may yet, of which the job does not know."""
    have = {i.index for i in job.images}
    rows = (a for a in job.attempts if a.ended_ms is None or a.outcome == Outcome.UNKNOWN or a.spool)
    return tuple((a.call, i) for a in rows for i in a.indexes if i not in have)


def to_make(job: Job) -> tuple[int, ...]:
    """The pictures for which a call may still be made: none for those of an open call."""
    have = {i.index for i in job.images}
    rows = [a for a in job.attempts if not fallback.left_behind(job, a)]
    unknown = Counter(i for a in rows if a.outcome == Outcome.UNKNOWN for i in a.indexes)
    final = {i for a in rows if not a.elsewhere and a.outcome not in RETRIED | {Outcome.UNKNOWN} for i in a.indexes}
    final |= {i for i, calls in unknown.items() if calls >= job.options.paid_calls}
    return tuple(i for i in range(job.request.n) if i not in have and i not in final)


def with_row(job: Job, call: int, **columns: object) -> Job:
    """The job with other columns in the row of a call."""
    rows = tuple(replace(a, **columns) if a.call == call else a for a in job.attempts)
    return replace(job, attempts=rows)


def past_deadline(job: Job) -> Failure:
    """The failure of a job whose `cancelAfter` passed before it had a picture."""
    refused = [a.failure for a in job.attempts if a.failure is not None and came_too_soon(a)]
    if refused and waits_for_pace(job):
        return refused[-1]
    return Failure(
        code="TIMEOUT",
        message="the job's cancelAfter passed before the picture was made",
        reason="deadline",
        provider=job.request.provider,
        retryable=True,
        safe_to_retry=job.billing is BillingState.NONE,
    )


def failure_of(error: DarkroomError, *, provider: str, safe_to_retry: bool) -> Failure:
    """Our own error as the record keeps it."""
    return Failure(
        code=error.code,
        message=error.message,
        reason=error.reason,
        field=error.details.get("field"),
        provider=provider,
        retryable=error.retryable,
        safe_to_retry=safe_to_retry,
        retry_after=error.retry_after,
    )


def salvageable(job: Job) -> tuple[tuple[int, int], ...]:
    """Pictures, by call and index, that may yet be stored although the job has ended without them."""
    return () if leads(Move.SALVAGE, job.status) is None else possibly_stored(job)
