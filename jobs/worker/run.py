"""The doing half: one job from claimed to finished."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import structlog

from jobs.catalog.families import per_call
from jobs.errors import InvalidPicture
from jobs.model import fallback, ledger, moves
from jobs.model.job import Failure, Job, Phase, Status
from jobs.model.times import now_ms
from jobs.store.outcomes import Fenced
from jobs.worker.call import CallContext
from jobs.worker.calls import Calls
from jobs.worker.deadline import ending_in_time
from jobs.worker.inputs import loaded_in_time
from jobs.worker.lease import LeasedJob
from jobs.worker.recovery import Recovery
from jobs.worker.salvage import Salvager

if TYPE_CHECKING:
    from jobs.store.claims import Claim
    from jobs.store.jobs import RedisJobStore
    from jobs.store.rooms import Rooms
    from jobs.worker.inputs import InputLoader

_log = structlog.get_logger()


class Runner:
    """Runs claimed jobs. `absorb_seconds`: how long one backs off in all on 503 and while nothing can be sent."""

    def __init__(  # noqa: PLR0913  # the composition root hands over each part by name
        self,
        *,
        store: RedisJobStore,
        context: CallContext,
        salvager: Salvager,
        rooms: Rooms,
        inputs: InputLoader,
        absorb_seconds: float,
    ) -> None:
        self._store = store
        self._context = context
        self._rooms = rooms
        self._inputs = inputs
        self._recovery = Recovery(context, salvager, inputs)
        self._absorb_ms = absorb_seconds * 1000
        self._leased: dict[str, LeasedJob] = {}

    async def run(self, claim: Claim) -> None:
        """Take the job as far as it goes now: to its end, or back to the queue for later.

        Ends silently when the job has slipped away (canceled, past its deadline, held by another worker).
        """
        job = LeasedJob(self._store, claim)
        self._leased[claim.job.id] = job
        try:
            with structlog.contextvars.bound_contextvars(request_id=claim.job.request_id, job=claim.job.id):
                await self._run(job, claim)
        finally:
            await self._rooms.leave(claim, own_is_free=job.room_is_free)
            if self._leased.get(claim.job.id) is job:
                del self._leased[claim.job.id]

    async def cancel(self, job_id: str) -> None:
        """Somebody asked for the end of a job in our hands: it ends now, and what an open call brings is salvaged."""
        job = self._leased.get(job_id)
        if job is not None:
            await job.look()
            open_rows = ledger.open_rows(job.now)
            with contextlib.suppress(moves.MoveRefused, Fenced):
                await job.apply(moves.stop)
                await self._recovery.interrupt(open_rows)

    async def _run(self, job: LeasedJob, claim: Claim) -> None:
        try:
            if not claim.room and job.now.status is Status.QUEUED and not ledger.open_rows(job.now):
                await self._fall_back(job, fallback.CLOSED)
                return
            await self._begin(job, room=claim.room)
            if claim.room:
                await self._make_missing(job, claim)
            await self._conclude(job, room=claim.room)
            _log.info("job run", status=str(job.now.status), calls=len(job.now.attempts), pictures=len(job.now.images))
        except Fenced:
            _log.info("lease lost", fence=job.fence)
        except moves.MoveRefused as refused:
            _log.info("the job moved on without us", status=str(refused.job.status))

    async def _begin(self, job: LeasedJob, *, room: bool) -> None:
        """Take what is there, and start the job; where a call follows at once, that is written with its intent."""
        if ledger.open_rows(job.now):  # before its deadline counts: what is stored was paid for
            if job.now.status is Status.QUEUED:
                await job.apply(moves.start)
            await self._recovery.recover(job)
        if job.now.overdue(now_ms()):
            await job.apply(moves.overdue)
        if job.now.status is Status.QUEUED and not (room and _calls_at_once(job.now)):
            await job.apply(moves.start)

    async def _make_missing(self, job: LeasedJob, claim: Claim) -> None:
        if job.now.status not in {Status.QUEUED, Status.RUNNING}:
            return
        missing = ledger.to_make(job.now)
        if not missing:
            return
        try:
            inputs = await loaded_in_time(self._inputs, job)
        except InvalidPicture as error:
            failure = ledger.failure_of(error, provider=job.now.request.provider, safe_to_retry=True)
            await job.apply(lambda j, now: moves.fail(j, now, failure))
            return
        request = job.now.request
        size = per_call(request, self._context.catalog.family(request.provider, request.model))
        parts = [missing[first : first + size] for first in range(0, len(missing), size)]
        calls = Calls(self._context, self._rooms, job, claim, inputs)
        async with ending_in_time(job):
            await calls.make(parts)

    async def _conclude(self, job: LeasedJob, *, room: bool) -> None:
        """Everything has been tried that may be tried now."""
        if job.now.status.terminal:
            return
        if job.now.overdue(now_ms()):
            await job.apply(moves.overdue)
        elif job.now.status is Status.CANCELING:
            await job.apply(moves.succeed if job.now.images else moves.stop)
        elif ledger.open_rows(job.now):
            # Until the worker of that disk says that the picture is in the blob store (`Salvager`), or to the deadline.
            await job.apply(lambda j, now: moves.back_off(j, now, j.cancel_at_ms - now, Phase.UPLOADING))
        elif not room and ledger.to_make(job.now):
            await job.apply(lambda j, now: moves.back_off(j, now, 0, Phase.QUEUED))
        elif fallback.allowed(job.now):
            await self._fall_back(job, _final(job.now).message)
        elif ledger.waits_for_pace(job.now):  # its turn comes when the provider's lane opens, at no cost of its own
            pause_ms = 0 if ledger.only_waits(job.now) else _pause_ms(job.now)
            await job.apply(lambda j, now: moves.back_off(j, now, pause_ms, Phase.THROTTLED))
        elif ledger.to_make(job.now) and (delay_ms := self._delay_ms(job.now)) is not None:
            await job.apply(lambda j, now: moves.back_off(j, now, delay_ms))
        elif job.now.images:
            await job.apply(moves.succeed)
        else:
            await job.apply(lambda j, now: moves.fail(j, now, _final(j)))

    async def _fall_back(self, job: LeasedJob, why: str) -> None:
        left = job.now.request
        await job.apply(lambda j, now: moves.fall_back(j, now, why))
        _log.info("job goes on elsewhere", left=left.provider, to=job.now.request.provider, why=why)

    def _delay_ms(self, job: Job) -> int | None:
        """How long to back off before the next call; None: no more tries."""
        delay_ms = _pause_ms(job)
        if job.backed_off_ms + delay_ms > self._absorb_ms or now_ms() + delay_ms >= job.cancel_at_ms:
            return None
        return delay_ms


def _pause_ms(job: Job) -> int:
    seconds: float = min(30, 2 ** max(0, ledger.tries(job) - 1))
    return round(1000 * seconds * random.uniform(0.8, 1.2))  # noqa: S311  # jitter


def _calls_at_once(job: Job) -> bool:
    """Whether a call can be made without reading a picture before."""
    return bool(ledger.to_make(job)) and not job.request.images and job.request.mask is None


def _final(job: Job) -> Failure:
    """The failure that a job without pictures is told: the last call's, unless an earlier one may have been billed."""
    failures = [a.failure for a in job.attempts if a.failure is not None]
    unsafe = [f for f in failures if not f.safe_to_retry]
    if not failures:  # every call ended well, and none of what they brought was kept
        message = "the provider answered without a picture that can be used"
        return Failure(code="SERVICE_UNAVAILABLE", message=message, reason="provider_bad_response", safe_to_retry=False)
    return (unsafe or failures)[-1]
