"""How a job may change. Pure: job in, job out; what its status does not allow is refused."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from jobs.errors import Outcome
from jobs.model import fallback
from jobs.model.job import Attempt, BillingState, Cancel, CancelOutcome, Failure, Job, Phase, Progress, Status
from jobs.model.ledger import close_open, number_for, open_rows, past_deadline, row_of, to_make, with_row
from jobs.model.picture import Image, Preview, Usage
from jobs.model.request import Warning_
from jobs.model.states import Move, leads

DAY_MS: Final = 86_400_000
RECORD_DAYS: Final = 7
"""How long a finished job's record stays when its request did not say."""


class MoveRefused(Exception):
    """The job's status does not allow the move."""

    def __init__(self, job: Job, move: Move) -> None:
        super().__init__(f"{job.id} is {job.status}: cannot {move}")
        self.job = job
        self.move = move


class Changed(Struct, frozen=True):
    """A job after a move, and what the outside hears of it (`None`: nothing)."""

    job: Job
    event: str | None = None
    earlier: tuple[Changed, ...] = ()
    """Moves before this one that are written together with it."""

    def made_on(self, before: Job) -> Job:
        """The job that this move was made on; `before`: as it was before the earlier ones."""
        return self.earlier[-1].job if self.earlier else before


def start(job: Job, now: int) -> Changed:
    """A worker holds the job and begins."""
    begun = replace(_moved(job, Move.START, now), phase=Phase.DISPATCHING, started_ms=job.started_ms or now)
    return Changed(replace(begun, not_before_ms=None), "image.job.started")


def intend(job: Job, now: int, indexes: tuple[int, ...], account: str | None = None) -> Changed:
    """Write the ledger row of a paid call, before it leaves; `account`: to which of the provider's it goes."""
    asked = job.request
    named = account if account not in {None, asked.provider} else None
    number = number_for(job, indexes, named or asked.provider)
    row = Attempt(call=number, indexes=indexes, started_ms=now, provider=asked.provider, model=asked.model)
    row = replace(row, account=named) if named else row
    return Changed(
        replace(
            _moved(job, Move.CALL, now),
            phase=Phase.GENERATING,
            attempts=(*job.attempts[: number - 1], row, *job.attempts[number:]),
            progress=None,
            preview=None if job.preview and job.preview.index in indexes else job.preview,
        )
    )


def accept(job: Job, now: int, call: int, handle: str) -> Changed:
    """Keep the name by which the provider can be asked again."""
    return Changed(with_row(_moved(job, Move.WORK, now), call, handle=handle))


def settle(  # noqa: PLR0913  # the ledger row has that many columns
    job: Job,
    now: int,
    call: int,
    *,
    outcome: Outcome,
    charged: bool | None,
    failure: Failure | None = None,
    elsewhere: bool = False,
    provider_status: int | None = None,
    provider_request_id: str | None = None,
    usage: Usage | None = None,
    text: str | None = None,
    warnings: tuple[Warning_, ...] = (),
) -> Changed:
    """Close the ledger row of a call that has ended, however it did."""
    moved = _moved(job, Move.WORK, now)
    closed = with_row(
        moved,
        call,
        ended_ms=now,
        outcome=outcome,
        charged=charged,
        failure=failure,
        elsewhere=elsewhere,
        provider_status=provider_status,
        provider_request_id=provider_request_id,
    )
    spent = now - row_of(job, call).started_ms
    return Changed(
        replace(
            closed,
            usage=job.usage if usage is None else usage.plus(job.usage),
            text=job.text or text,
            warnings=(*job.warnings, *(w for w in warnings if w not in job.warnings)),
            provider_ms=job.provider_ms + spent,
        )
    )


def checkpoint(job: Job, now: int, image: Image, upload_ms: int) -> Changed:
    """A picture is safe in the blob store: from here on it is never bought again.

    Where a late picture of another call has come first, that one stays.
    """
    taken = any(have.index == image.index for have in job.images)
    images = job.images if taken else tuple(sorted((*job.images, image), key=lambda i: i.index))
    return Changed(
        replace(
            _moved(job, Move.WORK, now),
            images=images,
            phase=Phase.CHECKPOINTED,
            upload_ms=job.upload_ms + upload_ms,
        ),
        "image.job.checkpointed",
    )


def spooled(job: Job, now: int, call: int, spool: str) -> Changed:
    """A picture is on disk and waits for the blob store."""
    return Changed(with_row(replace(_moved(job, Move.WORK, now), phase=Phase.UPLOADING), call, spool=spool))


def salvage(job: Job, now: int, call: int, image: Image) -> Changed:
    """A picture came late, to a job that has ended or that others go on with: the ledger says that it was paid for.

    Refused when there is a picture in its place, and while the call is open in a live job, whose holder takes it.
    """
    held = not job.status.terminal and any(row.call == call for row in open_rows(job))
    if held or any(have.index == image.index for have in job.images):
        raise MoveRefused(job, Move.SALVAGE)
    late = with_row(_moved(job, Move.SALVAGE, now), call, outcome=Outcome.SUCCEEDED, charged=True, failure=None)
    late = replace(late, images=tuple(sorted((*job.images, image), key=lambda i: i.index)))
    if late.status is Status.QUEUED and not to_make(late):  # nothing is left that it would back off for
        late = replace(late, not_before_ms=None)
    return Changed(late, "image.job.salvaged")


def resume(job: Job, now: int, spool: str) -> Changed:
    """What lay in the spool of that name is in the blob store: the job waits no longer, and who claims it takes it."""
    resumed = _moved(job, Move.RESUME, now)
    for row in open_rows(job):
        if row.spool == spool:
            resumed = with_row(resumed, row.call, spool=None)
    return Changed(replace(resumed, phase=Phase.QUEUED, not_before_ms=None))


def progress(job: Job, now: int, value: Progress) -> Changed:
    """The provider says how far it is."""
    return Changed(replace(_moved(job, Move.WORK, now), progress=value), "image.job.progress")


def preview(job: Job, now: int, seen: Preview) -> Changed:
    """The provider shows a picture on its way; refused when the picture, or a later look at it, is there already."""
    before = job.preview
    late = before is not None and before.index == seen.index and before.partial_index >= seen.partial_index
    if late or any(image.index == seen.index for image in job.images):
        raise MoveRefused(job, Move.WORK)
    return Changed(replace(_moved(job, Move.WORK, now), preview=seen), "image.job.preview")


def back_off(job: Job, now: int, delay_ms: int, phase: Phase = Phase.BACKOFF) -> Changed:
    """Give the job back to the queue: its calls are known not to have been charged.

    In phase `uploading` it waits for the worker that has its picture on disk, which is no backing off.
    """
    waited_ms = delay_ms if phase is Phase.BACKOFF else 0
    return Changed(
        replace(
            _moved(job, Move.REQUEUE, now),
            phase=phase,
            not_before_ms=now + delay_ms,
            backed_off_ms=job.backed_off_ms + waited_ms,
        ),
        "image.job.queued",
    )


def fall_back(job: Job, now: int, why: str) -> Changed:
    """Give the job back to the queue of its next target, where it begins anew: nothing was charged so far."""
    if not fallback.allowed(job):
        raise MoveRefused(job, Move.FALL_BACK)
    moved = fallback.redirected(_moved(job, Move.FALL_BACK, now), why)
    return Changed(replace(moved, phase=Phase.QUEUED, not_before_ms=None, backed_off_ms=0), "image.job.queued")


def succeed(job: Job, now: int) -> Changed:
    """Every picture that could be had is safe."""
    missing = job.request.n - len(job.images)
    late = job.cancel and replace(job.cancel, outcome=CancelOutcome.TOO_LATE)
    warnings = job.warnings
    if missing:
        lost = next((a.failure.message for a in job.attempts if a.failure), "the provider sent fewer")
        text = f"{len(job.images)} of {job.request.n} pictures were made: {lost}"
        warnings = (*warnings, Warning_(code="partial", message=text, field="n"))
    return Changed(replace(_ended(job, Move.SUCCEED, now), warnings=warnings, cancel=late), "image.job.succeeded")


def fail(job: Job, now: int, failure: Failure) -> Changed:
    """The job ends without a picture."""
    return Changed(replace(_ended(job, Move.FAIL, now), failure=failure), "image.job.failed")


def expire(job: Job, now: int) -> Changed:
    """A deadline passed before the job was dispatched: never billed."""
    return Changed(_ended(job, Move.EXPIRE, now), "image.job.expired")


def cancel(job: Job, now: int, *, by: str, reason: str | None = None) -> Changed:
    """End the job if it has not begun; otherwise begin to end it."""
    asked = Cancel(requested_ms=now, by=by, reason=reason)
    if job.status is Status.QUEUED and job.images:  # one of several is there, and paid for
        return succeed(replace(close_open(job, now), cancel=asked), now)
    if job.status is Status.QUEUED:
        ended = _ended(close_open(job, now), Move.CANCEL, now)
        return Changed(replace(ended, cancel=replace(asked, outcome=_outcome(ended))), "image.job.canceled")
    return Changed(replace(_moved(job, Move.CANCEL, now), cancel=asked), "image.job.canceling")


def stop(job: Job, now: int) -> Changed:
    """End a cancel now: a call that is open goes on without us, and what it brings is salvaged."""
    if job.images:
        raise MoveRefused(job, Move.STOP)  # too late: what is there is the caller's
    ended = _ended(close_open(job, now), Move.STOP, now)
    answered = job.cancel and replace(job.cancel, outcome=_outcome(ended))
    return Changed(replace(ended, cancel=answered), "image.job.canceled")


def _outcome(job: Job) -> CancelOutcome:
    """What a cancel came to: `prevented` when nothing can have been billed, else `abandoned`."""
    return CancelOutcome.PREVENTED if job.billing is BillingState.NONE else CancelOutcome.ABANDONED


def overdue(job: Job, now: int) -> Changed:
    """End a job past its deadline, by what has become of it so far; a call still open stays possibly billed."""
    job = close_open(job, now)
    if job.status is Status.CANCELING:
        return succeed(job, now) if job.images else stop(job, now)
    if job.status is Status.QUEUED and not job.attempts:
        return expire(job, now)
    if job.images:
        return succeed(job, now)
    stuck = next((a.failure for a in job.attempts if a.spool and a.failure), None)
    if stuck is not None:
        return fail(job, now, stuck)
    return fail(job, now, past_deadline(job))


def lose(job: Job, now: int, spool: str) -> Changed:
    """Calls of a worker that died: their outcome is unknown, and that is an outcome.

    A call whose picture lies on the disk of another machine stays open: only the spool named `spool` is at hand.
    """
    calls = tuple(a for a in open_rows(job) if a.spool in {None, spool})
    here = _moved(job, Move.WORK, now)
    for row in calls:  # what was on this disk has been taken: the rest was in the dead worker's memory alone
        here = with_row(here, row.call, spool=None)
    lost = close_open(here, now, calls)
    return Changed(replace(lost, phase=Phase.RECONCILING))


def record_ms(job: Job) -> int:
    """How long the record stays after the job's end."""
    return RECORD_DAYS * DAY_MS if job.options.expires_after is None else job.options.expires_after * 1000


def _moved(job: Job, move: Move, now: int) -> Job:
    target = leads(move, job.status)
    if target is None:
        raise MoveRefused(job, move)
    return replace(job, status=target, version=job.version + 1, updated_ms=max(now, job.updated_ms))


def _ended(job: Job, move: Move, now: int) -> Job:
    words = {"prompt": "", "negative_prompt": None, "user": None, "safety_identifier": None}
    forgotten = words if job.options.store_inputs is False else {}
    return replace(
        _moved(job, move, now),
        phase=Phase.DONE,
        finished_ms=now,
        expires_ms=now + record_ms(job),
        not_before_ms=None,
        preview=None,
        request=replace(job.request, **forgotten),
        fallbacks=(),
    )
