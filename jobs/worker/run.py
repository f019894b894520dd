"""The doing half: one job from claimed to finished."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from jobs.blobs.store import BlobRefused, BlobStoreDown
from jobs.catalog.families import per_call
from jobs.errors import InvalidPicture, Outcome, ProviderError, ServiceUnavailable, TimedOut
from jobs.model import fallback, ledger, moves
from jobs.model.job import Failure, Job, Phase, Progress, Status
from jobs.model.picture import Picture, Usage
from jobs.model.request import Warning_
from jobs.model.times import now_ms
from jobs.providers.base import Accepted, Answered, Order, Preview, Progressed, Text, Warned
from jobs.providers.outcomes import bad_response
from jobs.store.outcomes import Fenced
from jobs.worker.call import CHARGED, GRACE_SECONDS, Answer, not_stored, verdict_on
from jobs.worker.lease import PAUSE_SECONDS, Held

if TYPE_CHECKING:
    from jobs.blobs.expiry import Expiring
    from jobs.catalog.families import Catalog
    from jobs.providers.base import Provider, Step
    from jobs.store.breaker import Breaker
    from jobs.store.claims import Claim
    from jobs.store.jobs import RedisJobStore
    from jobs.store.stats import Gauges
    from jobs.worker.inputs import InputLoader, Loaded
    from jobs.worker.previews import Previews
    from jobs.worker.results import Keeper

MOST_UNKNOWN: Final = 5
"""With `onAmbiguous: retry`: calls of unknown outcome after which the job gives up."""
ELSEWHERE_MS: Final = 2_000
"""How long a job is left to the worker that has its picture on disk before anybody looks again."""

_log = structlog.get_logger()


class Runner:
    """Runs claimed jobs. `providers` are opened already; `absorb` and `provider_seconds` are in seconds."""

    def __init__(  # noqa: PLR0913  # the composition root hands over each part by name
        self,
        *,
        store: RedisJobStore,
        gauges: Gauges,
        keeper: Keeper,
        previews: Previews,
        inputs: InputLoader,
        expiry: Expiring,
        catalog: Catalog,
        providers: Mapping[str, Provider],
        provider_seconds: float,
        absorb_seconds: float,
        breaker: Breaker,
    ) -> None:
        self._store = store
        self._gauges = gauges
        self._keeper = keeper
        self._previews = previews
        self._inputs = inputs
        self._expiry = expiry
        self._held: dict[str, Held] = {}
        self._catalog = catalog
        self._providers = providers
        self._provider_seconds = provider_seconds
        self._absorb_ms = absorb_seconds * 1000
        self._breaker = breaker

    async def run(self, claim: Claim) -> None:
        """Take the job as far as it goes now: to its end, or back to the queue for later.

        Ends silently when the job has slipped away (canceled, past its deadline, held by another worker).
        """
        job = Held(self._store, claim)
        self._held[claim.job.id] = job
        try:
            with structlog.contextvars.bound_contextvars(request_id=claim.job.request_id, job=claim.job.id):
                await self._run(job, room=claim.room)
        finally:
            if self._held.get(claim.job.id) is job:
                del self._held[claim.job.id]

    async def cancel(self, job_id: str) -> None:
        """Somebody asked for the end of a job in our hands: it ends now, and what an open call brings is salvaged."""
        job = self._held.get(job_id)
        if job is not None:
            await job.look()
            with contextlib.suppress(moves.MoveRefused, Fenced):
                await job.apply(moves.stop)

    async def _run(self, job: Held, *, room: bool) -> None:
        try:
            if not room and job.now.status is Status.QUEUED and not ledger.open_rows(job.now):
                await self._fall_back(job, fallback.SHUT)
                return
            await self._begin(job)
            if room:
                await self._make_missing(job)
            await self._conclude(job, room=room)
            _log.info("job run", status=str(job.now.status), calls=len(job.now.attempts), pictures=len(job.now.images))
            if job.now.status.terminal and job.now.options.store_inputs is not True:
                await self._expiry.discard(*job.now.request.staged)
        except Fenced:
            _log.info("lease lost", fence=job.fence)
        except moves.MoveRefused as refused:
            _log.info("the job moved on without us", status=str(refused.job.status))

    async def _begin(self, job: Held) -> None:
        if ledger.open_rows(job.now):  # before its deadline counts: what is stored was paid for
            if job.now.status is Status.QUEUED:
                await job.apply(moves.start)
            await self._recover(job)
        if job.now.overdue(now_ms()):
            await job.apply(moves.overdue)
        if job.now.status is Status.QUEUED:
            await job.apply(moves.start)

    async def _recover(self, job: Held) -> None:
        """A worker died in a call: what it stored is taken, what lies on another's disk waits, the rest is lost."""
        for row in ledger.open_rows(job.now):
            told = [await self._keeper.recover(job, row.call, index) for index in row.indexes]
            if {i.index for i in job.now.images} >= set(row.indexes):
                said = tuple(each for each in told if each is not None)
                await job.apply(partial(moves.settle, call=row.call, outcome="succeeded", charged=True, warnings=said))
        if job.now.overdue(now_ms()):
            return  # the store may not have been reached: what is on disk is salvaged later
        own = await self._keeper.own_spool()
        if any(row.spool in {None, own} for row in ledger.open_rows(job.now)):
            await job.apply(partial(moves.lose, spool=own))

    async def _make_missing(self, job: Held) -> None:
        if job.now.status is not Status.RUNNING:
            return
        missing = ledger.to_make(job.now)
        if not missing:
            return
        try:
            inputs = await self._load(job)
        except InvalidPicture as error:
            failure = moves.failure_of(error, provider=job.now.request.provider, safe_to_retry=True)
            await job.apply(lambda j, now: moves.fail(j, now, failure))
            return
        request = job.now.request
        size = per_call(request, self._catalog.family(request.provider, request.model))
        parts = [missing[first : first + size] for first in range(0, len(missing), size)]
        # Each to its own end: one whose write was refused does not cut the others, which are paid for.
        ends = await asyncio.gather(*(self._call(job, part, inputs) for part in parts), return_exceptions=True)
        for trouble in ends:
            if trouble is not None:
                raise trouble

    async def _load(self, job: Held) -> Loaded:
        """The input pictures in hand; a blob store that is down is waited for."""
        while True:
            try:
                return await self._inputs.load(job.now.request)
            except BlobStoreDown:
                if job.now.overdue(now_ms()):
                    raise InvalidPicture("the picture could not be read in time", field="referenceImage") from None
                await asyncio.sleep(PAUSE_SECONDS)

    async def _conclude(self, job: Held, *, room: bool) -> None:
        """Everything has been tried that may be tried now."""
        if job.now.status.terminal:
            return
        if job.now.overdue(now_ms()):
            await job.apply(moves.overdue)
        elif job.now.status is Status.CANCELING:
            await job.apply(moves.succeed if job.now.images else moves.stop)
        elif ledger.open_rows(job.now):
            await job.apply(lambda j, now: moves.back_off(j, now, ELSEWHERE_MS, Phase.UPLOADING))
        elif not room and ledger.to_make(job.now):
            await job.apply(lambda j, now: moves.back_off(j, now, 0, Phase.QUEUED))
        elif fallback.allowed(job.now):
            await self._fall_back(job, _final(job.now).message)
        elif ledger.to_make(job.now) and (delay_ms := self._delay_ms(job.now)) is not None:
            await job.apply(lambda j, now: moves.back_off(j, now, delay_ms))
        elif job.now.images:
            await job.apply(moves.succeed)
        else:
            await job.apply(lambda j, now: moves.fail(j, now, _final(j)))

    async def _fall_back(self, job: Held, why: str) -> None:
        left = job.now.request
        await job.apply(lambda j, now: moves.fall_back(j, now, why))
        _log.info("job goes on elsewhere", left=left.provider, to=job.now.request.provider, why=why)

    async def _call(self, job: Held, indexes: tuple[int, ...], inputs: Loaded) -> None:
        """One paid call: the intent is written before it leaves, its outcome after.

        A job that ended meanwhile stays as it is; the call goes on all the same, for what it brings is paid for.
        """
        with contextlib.suppress(moves.MoveRefused):
            begun = await job.apply(lambda j, now: moves.intend(j, now, indexes))
            call, answer, began = len(begun.attempts), Answer(), now_ms()
            try:
                await self._exchange(job, call, indexes, inputs, answer)
            except ProviderError as error:
                await self._report(job, verdict_on(error), began)
                await self._settle_failed(job, call, answer, error)
            except (BlobRefused, BlobStoreDown) as error:
                await self._settle_failed(job, call, answer, not_stored(error))
            else:
                await self._report(job, "good", began)
                await self._settle(job, call, answer)

    async def _report(self, job: Held, word: str, began: int) -> None:
        """Tell the breaker; it is no part of the job, so a Redis that is away is no hindrance."""
        with contextlib.suppress(ServiceUnavailable):
            asked = job.now.request
            await self._gauges.report(asked.provider, asked.model, word, now_ms() - began, self._breaker)

    async def _settle(self, job: Held, call: int, answer: Answer) -> None:
        _log.info(
            "provider called",
            call=call,
            provider=job.now.request.provider,
            model=job.now.request.model,
            provider_request_id=answer.request_id,
            pictures=answer.pictures,
        )
        await job.apply(
            lambda j, now: moves.settle(
                j,
                now,
                call,
                outcome="succeeded",
                charged=True,
                provider_status=answer.status,
                provider_request_id=answer.request_id,
                usage=answer.usage,
                text=answer.text,
                warnings=tuple(answer.warnings),
            )
        )

    async def _exchange(self, job: Held, call: int, indexes: tuple[int, ...], inputs: Loaded, answer: Answer) -> None:
        order = self._order(job.now, len(indexes), inputs)
        provider = self._providers.get(order.request.provider)
        if provider is None:
            message = f"{order.request.provider} is not configured on this worker"
            raise ProviderError(Outcome.REFUSED, ServiceUnavailable(message, reason="provider_unconfigured"))
        keeping: list[asyncio.Task[Warning_ | None]] = []
        try:
            failed = await self._receive(provider.generate(order), order.timeout, job, (call, indexes), answer, keeping)
            kept = await asyncio.gather(*keeping, return_exceptions=True)
        finally:
            for each in answer.previews:  # the picture is there: a look at it is no news any more
                each.cancel()
        troubles = [each for each in (*kept, failed) if isinstance(each, BaseException)]
        answer.pictures += sum(not isinstance(each, BaseException) for each in kept)
        answer.warnings += [each for each in kept if isinstance(each, Warning_)]
        if troubles:
            raise troubles[0]
        if not answer.pictures:
            raise bad_response("the provider answered without a picture")

    async def _receive(  # noqa: PLR0913, PLR0917  # one call's parts
        self,
        steps: AsyncIterator[Step],
        seconds: float,
        job: Held,
        of: tuple[int, tuple[int, ...]],
        answer: Answer,
        keeping: list[asyncio.Task[Warning_ | None]],
    ) -> ProviderError | None:
        """Read what a provider yields: pictures and previews go their own way at once: storing one holds up none."""
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                async for step in steps:
                    if isinstance(step, Picture):
                        keeping.append(asyncio.create_task(self._keeper.keep(job, *of, step)))
                    elif isinstance(step, Preview):
                        look = self._previews.keep(job, of[1], step.picture, step.place)
                        answer.previews.append(asyncio.create_task(look))
                    else:
                        await self._take(job, of[0], step, answer)
        except TimeoutError:
            message = "the provider did not answer in time"
            return ProviderError(Outcome.UNKNOWN, TimedOut(message, reason="provider_timeout"))
        except ProviderError as error:
            return error
        except asyncio.CancelledError:
            for each in keeping:
                each.cancel()
            raise
        return None

    async def _take(self, job: Held, call: int, step: object, answer: Answer) -> None:
        match step:
            case Answered():
                answer.status, answer.request_id = step.status, step.request_id
            case Accepted(handle):
                await job.apply(lambda j, now: moves.accept(j, now, call, handle))
            case Progressed():
                await job.report(Progress(value=step.value, step=step.step, steps=step.steps))
            case Usage():
                answer.usage = step
            case Text():
                answer.text = step.text
            case Warned():
                answer.warnings.append(Warning_(code=step.code, message=step.message, field=step.field))

    async def _settle_failed(self, job: Held, call: int, answer: Answer, error: ProviderError) -> None:
        charged = CHARGED[error.outcome] if not answer.pictures else True
        failure = Failure(
            code=error.error.code,
            message=error.error.message,
            reason=error.error.details.get("reason"),
            field=error.error.details.get("field"),
            provider=job.now.request.provider,
            provider_status=error.provider_status or answer.status,
            provider_request_id=error.provider_request_id or answer.request_id,
            retryable=error.error.retryable,
            safe_to_retry=charged is False,
            retry_after=error.retry_after,
        )
        _log.warning(
            "provider call failed",
            call=call,
            outcome=str(error.outcome),
            provider=failure.provider,
            status=failure.provider_status,
            reason=failure.reason,
        )
        await job.apply(
            lambda j, now: moves.settle(
                j,
                now,
                call,
                outcome=error.outcome,
                charged=charged,
                failure=failure,
                provider_status=failure.provider_status,
                provider_request_id=failure.provider_request_id,
                usage=answer.usage,
                text=answer.text,
                warnings=tuple(answer.warnings),
            )
        )

    def _order(self, job: Job, n: int, inputs: Loaded) -> Order:
        left = (job.cancel_at_ms - now_ms()) / 1000
        return Order(
            request=job.request,
            family=self._catalog.family(job.request.provider, job.request.model),
            n=n,
            images=inputs.images,
            mask=inputs.mask,
            request_id=job.request_id or job.id,
            timeout=max(0.1, min(self._provider_seconds, left)),
        )

    def _delay_ms(self, job: Job) -> int | None:
        """How long to back off before the next call, by the provider's word first; None: no more tries."""
        if sum(a.outcome == Outcome.UNKNOWN for a in job.attempts) >= MOST_UNKNOWN:
            return None
        tries = sum(a.outcome in ledger.RETRIED and not fallback.left_behind(job, a) for a in job.attempts)
        told = max((a.failure.retry_after or 0 for a in job.attempts[-1:] if a.failure), default=0)
        delay_ms = round(1000 * (told or min(30, 2 ** max(0, tries - 1)) * random.uniform(0.8, 1.2)))  # noqa: S311  # jitter
        if job.backed_off_ms + delay_ms > self._absorb_ms or now_ms() + delay_ms >= job.cancel_at_ms:
            return None
        return delay_ms


def _final(job: Job) -> Failure:
    """The failure that a job without pictures is told: the last call's, unless an earlier one may have been billed."""
    failures = [a.failure for a in job.attempts if a.failure is not None]
    unsafe = [f for f in failures if not f.safe_to_retry]
    if not failures:  # every call ended well, and none of what they brought was kept
        message = "the provider answered without a picture that can be used"
        return Failure(code="SERVICE_UNAVAILABLE", message=message, reason="provider_bad_response", safe_to_retry=False)
    return (unsafe or failures)[-1]
