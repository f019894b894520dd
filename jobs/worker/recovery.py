"""What becomes of the calls of a worker that died: their pictures are taken, or their provider is asked."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

from jobs.errors import InvalidPicture, Outcome, ProviderError
from jobs.model import ledger, moves
from jobs.model.times import now_ms
from jobs.providers.base import Cancelable, Resumable
from jobs.worker.call import CallContext, ProviderCall
from jobs.worker.deadline import ending_in_time
from jobs.worker.inputs import loaded_in_time
from jobs.worker.salvage import Salvager

if TYPE_CHECKING:
    from jobs.model.job import Attempt
    from jobs.worker.inputs import InputLoader
    from jobs.worker.lease import LeasedJob


class Recovery:
    """Ends the open calls of a job that another worker had."""

    def __init__(self, context: CallContext, salvager: Salvager, inputs: InputLoader) -> None:
        self._context = context
        self._salvager = salvager
        self._inputs = inputs

    async def recover(self, job: LeasedJob) -> None:
        """What a call has stored is taken; what lies on another's disk waits; where the provider can be asked, it is.

        The rest is lost. Raises `Fenced`.
        """
        for row in ledger.open_rows(job.now):
            told = [await self._salvager.recover(job, row.call, index) for index in row.indexes]
            if {i.index for i in job.now.images} >= set(row.indexes):
                said = tuple(each for each in told if each is not None)
                await job.apply(
                    partial(moves.settle, call=row.call, outcome=Outcome.SUCCEEDED, charged=True, warnings=said)
                )
        if job.now.overdue(now_ms()):
            return  # the store may not have been reached: what is on disk is salvaged later
        own = await self._salvager.own_spool()
        asked = [row for row in ledger.open_rows(job.now) if row.spool is None and self._resumable(row) is not None]
        await asyncio.gather(*(self._resume(job, row) for row in asked))
        if any(row.spool in {None, own} for row in ledger.open_rows(job.now)):
            await job.apply(partial(moves.lose, spool=own))

    async def interrupt(self, rows: tuple[Attempt, ...]) -> None:
        """Stop the calls whose provider can do that to one call alone."""
        for row in rows:
            provider = self._context.providers.get(_account(row))
            if row.handle is not None and isinstance(provider, Cancelable):
                with contextlib.suppress(ProviderError):
                    await provider.cancel(row.handle)

    async def _resume(self, job: LeasedJob, row: Attempt) -> None:
        with contextlib.suppress(InvalidPicture):
            inputs = await loaded_in_time(self._inputs, job)
            async with ending_in_time(job):
                await ProviderCall(self._context, job, row.indexes, inputs, account=_account(row)).resume(row)

    def _resumable(self, row: Attempt) -> Resumable | None:
        provider = self._context.providers.get(_account(row))
        return provider if row.handle is not None and isinstance(provider, Resumable) else None


def _account(row: Attempt) -> str:
    """Where a call went, which alone can be asked about it."""
    return row.account or row.provider
