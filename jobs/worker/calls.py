"""The calls of one claim: as many at once as it has rooms, each made at another account where one did not serve it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.model.account import accounts_of
from jobs.model.ledger import RETRIED
from jobs.worker.call import CallContext, ProviderCall

if TYPE_CHECKING:
    from jobs.store.claims import Claim
    from jobs.store.rooms import Rooms
    from jobs.worker.inputs import LoadedInputs
    from jobs.worker.lease import LeasedJob


class Calls:
    """Makes them, in the rooms of a claim."""

    def __init__(self, context: CallContext, rooms: Rooms, job: LeasedJob, claim: Claim, inputs: LoadedInputs) -> None:
        self._context = context
        self._rooms = rooms
        self._job = job
        self._claim = claim
        self._inputs = inputs

    async def make(self, parts: Sequence[tuple[int, ...]]) -> None:
        """A call for each part of the pictures, one after the other in each room."""
        waiting = list(parts)
        more = await self._rooms.take_more(self._claim, len(parts) - 1) if len(parts) > 1 else []
        # Each to its own end: one whose write was refused does not cut the others, which are paid for.
        rooms = [self._make_in(room, waiting) for room in (self._claim.name, *more)]
        for trouble in await asyncio.gather(*rooms, return_exceptions=True):
            if trouble is not None:
                raise trouble

    async def _make_in(self, room: str, waiting: list[tuple[int, ...]]) -> None:
        """The first call has its place in the account's pace with the room; what finds none waits in the lane."""
        try:
            while waiting:
                await self._make_at_any(room, waiting.pop(0))
                if waiting and not await self._rooms.take_place(self._claim, room):
                    return
        finally:
            if room != self._claim.name:  # that one goes with the job's end
                await self._rooms.give_back(self._claim, room)

    async def _make_at_any(self, room: str, part: tuple[int, ...]) -> None:
        """A call; where it cost nothing and another account might serve it, the same there, while one has room."""
        others = {account.name for account in accounts_of(self._context.accounts, self._job.now.request.provider)}
        tried: list[str] = []
        may_come = False
        while True:
            account = self._rooms.of(self._claim)[room]
            others.discard(account)
            tried.append(account)
            call = ProviderCall(
                self._context, self._job, part, self._inputs, account=account, elsewhere=bool(others) or may_come
            )
            row = await call.make()
            if row is None or not others or not await self._rooms.move(self._claim, room, tried):
                return
            may_come |= row.outcome in RETRIED
