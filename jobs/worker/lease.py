"""A job in a worker's hands: moves on the newest record, one at a time, under the fence."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobs.errors import ServiceUnavailable
from jobs.model import ledger, moves
from jobs.model.job import Job, Progress
from jobs.model.times import now_ms
from jobs.model.together import Move, made
from jobs.redis.connection import outage
from jobs.store.outcomes import Fenced, Stale

if TYPE_CHECKING:
    from jobs.store.arguments import Arguments
    from jobs.store.claims import Claim
    from jobs.store.jobs import RedisJobStore


class LeasedJob:
    """What a claim gave; `now` is the record as this worker knows it."""

    def __init__(self, store: RedisJobStore, claim: Claim) -> None:
        self._store = store
        self.fence = claim.fence
        self._one = asyncio.Lock()
        self._reported_ms = 0
        self.now = claim.job
        self.room_is_free = False
        """Its room at the provider was given back by a move."""

    async def apply(self, *moves_: Move, call: Arguments | None = None) -> Job:
        """Make moves on the record as it stands, all of them in one write. Raises `Fenced`, `moves.MoveRefused`.

        `call`: the provider's call that has ended with them (`Breaker.ended_call`).

        A commit whose answer was lost is sent again to the letter: made anew it would be a second move, for the store
        knows what it has written by its bytes.
        """
        async with self._one:
            changed = made(self.now, moves_)
            while changed is not None:
                try:
                    before, self.now = self.now, await self._store.commit(self.now, changed, self.fence, call)
                except Stale:
                    self.now = await self._newest()
                    changed = made(self.now, moves_)
                except ServiceUnavailable:
                    await asyncio.sleep(outage.pause())
                else:
                    self.room_is_free |= ledger.frees_room(changed.made_on(before), self.now)
                    break
            return self.now

    async def _newest(self) -> Job:
        while True:
            try:
                return await self._store.get(self.now.id) or _vanished(self.now)
            except ServiceUnavailable:
                await asyncio.sleep(outage.pause())

    async def look(self) -> None:
        """Take the newest record."""
        async with self._one:
            self.now = await self._newest()

    async def report(self, progress: Progress) -> None:
        """Pass progress on, at most once a second."""
        if now_ms() - self._reported_ms >= 1000:  # noqa: PLR2004  # a second
            self._reported_ms = now_ms()
            await self.apply(lambda j, now: moves.progress(j, now, progress))


def _vanished(job: Job) -> Job:
    raise Fenced(job.id)
