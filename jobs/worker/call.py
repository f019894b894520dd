"""One paid call: its intent is written before it leaves, its outcome after it ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jobs.blobs.store import BlobStoreDown
from jobs.errors import Outcome, ProviderError, ServiceUnavailable, TimedOut
from jobs.model import ledger, moves, together
from jobs.model.fallback import is_nobodys_loss
from jobs.model.job import Progress
from jobs.model.picture import Picture, Usage
from jobs.model.times import now_ms
from jobs.providers.base import Accepted, Answered, Order, PartialImage, Progressed, Resumable, Text, Unusable, Warned
from jobs.providers.outcomes import bad_response
from jobs.store.breaker import Verdict
from jobs.store.outcomes import Fenced
from jobs.worker.call_report import CHARGED, CallReport, failure_of, log_called, log_ignored, not_stored, verdict_on
from jobs.worker.replicas import require_replicated, until_replicated
from jobs.worker.results import ResultWriter, Stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobs.catalog.families import Catalog
    from jobs.model.account import Accounts
    from jobs.model.job import Attempt, Job
    from jobs.model.together import Move
    from jobs.providers.base import Provider, Step
    from jobs.store.arguments import Arguments
    from jobs.store.breaker import Breaker
    from jobs.store.replication import Replication
    from jobs.worker.inputs import LoadedInputs
    from jobs.worker.lease import LeasedJob
    from jobs.worker.operators import Operators
    from jobs.worker.previews import Previews

GRACE_SECONDS: Final = 5.0
"""Beyond its own timeout a provider gets this long to say how its call ended."""


class CallContext(Struct, frozen=True, kw_only=True):
    """What a worker calls with. `provider_seconds`: the longest single call."""

    breaker: Breaker
    replication: Replication
    writer: ResultWriter
    previews: Previews
    catalog: Catalog
    providers: Mapping[str, Provider]
    """By account, opened already."""
    accounts: Accounts
    operators: Operators
    provider_seconds: float


class ProviderCall:
    """A call of a job for the pictures `indexes`, which is made once, at one account of its provider."""

    def __init__(  # noqa: PLR0913  # what is called, with what, for whom
        self,
        context: CallContext,
        job: LeasedJob,
        indexes: tuple[int, ...],
        inputs: LoadedInputs,
        *,
        account: str,
        elsewhere: bool = False,
    ) -> None:
        self._context, self._account = context, account
        self._elsewhere = elsewhere
        """Where it costs nothing and brings nothing, another account may yet make the pictures."""
        self._job = job
        self._indexes = indexes
        self._inputs = inputs
        self._number = 0
        """Its row in the ledger; 0: it has none yet."""
        self._handle: str | None = None
        """The provider was asked before, and knows it by this."""
        self._report = CallReport(inputs.warnings)
        self._received = False
        """The provider has said all that it has to say."""
        self._writes: list[asyncio.Task[Stored | None]] = []
        """Pictures on their way to the blob store."""
        self._unrecorded: list[Stored] = []
        """Pictures that came there after the provider's last word: the job hears of them with the end of the call."""
        self._looks: list[asyncio.Task[None]] = []
        """Previews on theirs."""
        self._unusable: list[asyncio.Task[str | None]] = []
        """What came and is no picture, on its way there for the operator."""

    async def make(self) -> Attempt | None:
        """Make the call, store what it brings, and close its row in the ledger. Raises `Fenced`.

        Answers its row where it cost nothing and another account might have served it. A job that ended meanwhile stays
        as it is; the call goes on all the same, for what it brings is paid for.
        """
        with contextlib.suppress(moves.MoveRefused):
            await until_replicated(self._context.replication, self._job)
            call = partial(moves.intend, indexes=self._indexes, account=self._account)
            begun = await self._job.apply(together.start_if_queued, call)
            self._number, began = ledger.open_call(begun, self._indexes), now_ms()
            log_ignored(begun)
            try:
                await require_replicated(self._context.replication, self._job)
            except ProviderError as error:
                await self._settle_failed(error, None)
                return None
            await self._to_its_end(began)
            row = ledger.row_of(self._job.now, self._number)
            return row if is_nobodys_loss(row) and not self._job.now.status.terminal else None
        return None

    async def resume(self, row: Attempt) -> None:
        """Go on with a call whose worker died, by the name under which its provider knows it. Raises `Fenced`."""
        self._number, self._handle = row.call, row.handle
        with contextlib.suppress(moves.MoveRefused):
            await self._to_its_end(row.started_ms)

    async def _to_its_end(self, began: int) -> None:
        try:
            await self._exchange()
        except ProviderError as error:
            await self._settle_failed(error, self._ended_call(verdict_on(error), began, error.retry_after))
        except BlobStoreDown as error:
            await self._settle_failed(not_stored(error), None)
        except (moves.MoveRefused, Fenced):
            await self._record_each()
            raise
        else:
            await self._settle(self._ended_call(Verdict.GOOD, began))

    async def _exchange(self) -> None:
        order = _order(self._context, self._job.now, len(self._indexes), self._inputs)
        provider = _provider(self._context, self._account)
        try:
            failed = await self._receive(provider, order)
            self._received = True
            written = await asyncio.gather(*self._writes, return_exceptions=True)
            self._report.kept = list(filter(None, await asyncio.gather(*self._unusable)))
        finally:
            for look in self._looks:  # the picture is there: a look at it is no news any more
                look.cancel()
        troubles = [each for each in (*written, failed) if isinstance(each, BaseException)]
        self._report.pictures += sum(not isinstance(each, BaseException) for each in written)
        self._report.warnings += [each.warning for each in written if isinstance(each, Stored) and each.warning]
        if troubles:
            raise troubles[0]
        if not self._report.pictures:
            raise bad_response("the provider answered without a picture")

    async def _receive(self, provider: Provider, order: Order) -> ProviderError | None:
        """Read what the provider yields, to its end; the answer is how the call failed."""
        try:
            async with asyncio.timeout(order.timeout + GRACE_SECONDS):
                async for step in _steps(provider, order, self._handle):
                    await self._take(step)
        except TimeoutError:
            message = "the provider did not answer in time"
            return ProviderError(Outcome.UNKNOWN, TimedOut(message, reason="provider_timeout"))
        except ProviderError as error:
            return error
        except asyncio.CancelledError:
            for write in self._writes:
                write.cancel()
            raise
        return None

    async def _take(self, step: Step) -> None:
        """Take one step. Pictures and previews go their own way at once: storing one holds up none."""
        job = self._job
        match step:
            case Picture():
                self._writes.append(asyncio.create_task(self._write(step)))
            case PartialImage():
                look = self._context.previews.keep(job, self._indexes, step.picture, step.place)
                self._looks.append(asyncio.create_task(look))
            case Unusable():
                keep = self._context.writer.keep_unusable(job.now, step.data)
                self._unusable.append(asyncio.create_task(keep))
            case Accepted(handle):
                with contextlib.suppress(moves.MoveRefused, Fenced):  # the call goes on
                    await job.apply(lambda job, now: moves.accept(job, now, self._number, handle))
            case Progressed():
                with contextlib.suppress(moves.MoveRefused, Fenced):
                    await job.report(Progress(value=step.value, step=step.step, steps=step.steps))
            case Answered() | Usage() | Text() | Warned():
                self._report.take(step)

    async def _write(self, picture: Picture) -> Stored | None:
        """Store a picture. While the call goes on, its job is told at once: nobody knows how long that takes."""
        stored = await self._context.writer.store(self._job, self._number, self._indexes, picture)
        if stored is not None and self._received:
            self._unrecorded.append(stored)
        elif stored is not None:
            await self._context.writer.record_stored(self._job, stored)
        return stored

    async def _apply(self, call: Arguments | None, *moves_: Move) -> None:
        """Make moves together with those by which the job hears of its pictures; one by one where that is refused.

        How the provider did is no part of the job: it is told whatever became of that.
        """
        stored = self._unrecorded
        try:
            job = await self._job.apply(*(each.checkpoint for each in stored), *moves_, call=call)
        except (moves.MoveRefused, Fenced):
            if call is not None:
                with contextlib.suppress(ServiceUnavailable):
                    await self._context.breaker.record_call(call)
            await self._record_each()
            raise
        for each in stored:
            await self._context.writer.recorded(job, each)

    async def _record_each(self) -> None:
        """Write each picture by itself into the job, whatever became of that, and whichever of them is refused."""
        telling = (self._context.writer.record_stored(self._job, each) for each in self._unrecorded)
        await asyncio.gather(*telling, return_exceptions=True)

    def _ended_call(self, verdict: Verdict, began_ms: int, retry_after: float | None = None) -> Arguments:
        asked, took = self._job.now.request, now_ms() - began_ms
        ended = self._context.breaker.ended_call
        return ended(asked.provider, asked.model, verdict, took, retry_after, account=self._account)

    async def _settle(self, call: Arguments) -> None:
        report = self._report
        log_called(self._job.now, self._account, self._number, report)
        settle = partial(
            moves.settle,
            call=self._number,
            outcome=Outcome.SUCCEEDED,
            charged=True,
            provider_status=report.status,
            provider_request_id=report.request_id,
            **report.columns(),
        )
        await self._apply(call, settle, together.succeed_if_complete)

    async def _settle_failed(self, error: ProviderError, call: Arguments | None) -> None:
        report = self._report
        charged = CHARGED[error.outcome] if not report.pictures else True
        failure = failure_of(error, self._job.now.request.provider, report, safe_to_retry=charged is False)
        await self._context.operators.hear(error, failure, self._account, call=self._number)
        settle = partial(
            moves.settle,
            call=self._number,
            outcome=error.outcome,
            charged=charged,
            failure=failure,
            elsewhere=self._elsewhere and charged is False,
            provider_status=failure.provider_status,
            provider_request_id=failure.provider_request_id,
            **report.columns(),
        )
        await self._apply(call, settle)


def _provider(context: CallContext, account: str) -> Provider:
    found = context.providers.get(account)
    if found is None:
        message = f"{account} is not configured on this worker"
        raise ProviderError(Outcome.REFUSED, ServiceUnavailable(message, reason="provider_unconfigured"))
    return found


def _steps(provider: Provider, order: Order, handle: str | None) -> AsyncIterator[Step]:
    if handle is not None and isinstance(provider, Resumable):
        return provider.resume(order, handle)
    return provider.generate(order)


def _order(context: CallContext, job: Job, n: int, inputs: LoadedInputs) -> Order:
    return Order(
        request=job.request,
        family=context.catalog.family(job.request.provider, job.request.model),
        n=n,
        images=inputs.images,
        mask=inputs.mask,
        request_id=job.request_id or job.id,
        timeout=context.provider_seconds,  # not the job's own time: a call that was cut is paid for as well
    )
