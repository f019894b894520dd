"""What a worker does: claims jobs, keeps their leases, comes for the lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Self

import structlog

from jobs.blobs.expiry import BlobExpiry
from jobs.clock import clock
from jobs.errors import DarkroomError, ServiceUnavailable
from jobs.ids import new_id
from jobs.model import moves
from jobs.model.times import now_ms
from jobs.outage import MAX_PAUSE_SECONDS
from jobs.redis.connection import outage
from jobs.redis.pubsub import subscribe
from jobs.shutdown import cancel
from jobs.store.claims import Claim, Claims, Renewal
from jobs.store.documents import SchemaUnknown
from jobs.store.jobs import RedisJobStore
from jobs.store.outcomes import Stale
from jobs.worker.run import Runner
from jobs.worker.salvage import Salvager

if TYPE_CHECKING:
    from jobs.settings import Settings

BEATS_A_LEASE: Final = 3
"""A lease is renewed this many times within its life."""
TURN_SECONDS: Final = 3_600
"""After this long a turn ends between two jobs, so that arq sees its functions return."""
SALVAGE_SECONDS: Final = 10.0
"""How often pictures are looked for whose job has ended without them."""
TRIM_SECONDS: Final = 30.0
"""How often indexes are rid of what is past its retention."""
FAREWELL_SECONDS: Final = 1.0
"""For a last word to Redis, which may be away."""

_log = structlog.get_logger()


class JobLoop:
    """What one worker process does beside arq: turns, heartbeat, and looking after the lost."""

    def __init__(  # noqa: PLR0913, PLR0917  # the composition root hands over each part
        self,
        store: RedisJobStore,
        claims: Claims,
        runner: Runner,
        salvager: Salvager,
        expiry: BlobExpiry,
        settings: Settings,
    ) -> None:
        self.name = f"{socket.gethostname()}/{os.getpid()}/{new_id('w')[-6:]}"
        self.draining = False
        self._store = store
        self._claims = claims
        self._runner = runner
        self._salvager = salvager
        self._expiry = expiry
        self._slots = settings.worker_slots
        self._lease_ms = settings.lease_seconds * 1000
        self._trusted_from = 0.0
        """When every worker that lives has had the time to renew its leases: before, nobody is taken for lost."""
        self._held: dict[str, Claim] = {}
        self._lost: frozenset[str] = frozenset()
        self._tasks: list[asyncio.Task[None]] = []
        self._chores: asyncio.Task[None] | None = None
        self._asides: set[asyncio.Task[None]] = set()
        """Cancels, and turns to be asked for."""

    async def __aenter__(self) -> Self:
        self._trust_later()
        self._tasks = [
            asyncio.create_task(self._beat_on()),
            asyncio.create_task(subscribe(self._store.redis, self._store.keys.cancels, self._hear)),
            asyncio.create_task(self._keep_on(self._salvage, SALVAGE_SECONDS)),
            asyncio.create_task(self._keep_on(self._expiry.sweep, MAX_PAUSE_SECONDS)),
            asyncio.create_task(self._keep_on(self._claims.trim, TRIM_SECONDS)),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel(*self._tasks, self._chores, *self._asides)
        with contextlib.suppress(DarkroomError, TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._claims.stop(self.name, self._slots)

    async def turn(self, turn: str) -> None:
        """Run jobs until there is none, this worker drains, or the turn has lasted long enough."""
        loop_time = asyncio.get_running_loop().time
        end = loop_time() + TURN_SECONDS
        begins = True
        try:
            while not self.draining and loop_time() < end:
                claim = await self._claims.claim_next(turn, self.name, self._lease_ms, begins=begins)
                begins = False
                if claim is not None and claim.wake_ms is not None:
                    self._ring_later(claim.wake_ms)
                if not isinstance(claim, Claim):
                    return
                await self._hold(claim)
            await self._claims.end_turns(self.name, [turn])
        except ServiceUnavailable:
            return  # the heartbeat asks for another

    async def _hold(self, claim: Claim) -> None:
        task = asyncio.create_task(self._runner.run(claim))
        self._held[claim.name] = claim
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            await cancel(task)
            raise
        finally:
            del self._held[claim.name]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("job run failed", job=claim.job.id, exc_info=error)

    def _hear(self, job_id: bytes | None) -> None:
        """A cancel, told to every worker; one that was not heard is seen by the heartbeat."""
        if job_id is not None:
            self._cancel(job_id.decode())

    def _cancel(self, job_id: str) -> None:
        self._keep(asyncio.create_task(self._runner.cancel(job_id)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def _beat_on(self) -> None:
        while True:
            pause = self._lease_ms / 1000 / BEATS_A_LEASE
            try:
                pause = min(pause, await self._beat())
            except ServiceUnavailable:
                self._trust_later()
                pause = outage.pause(min(pause, MAX_PAUSE_SECONDS))
            except Exception as error:  # noqa: BLE001  # a worker without a heart would lose every job in its hands
                _log.error("heartbeat failed", exc_info=error)
                self._trust_later()
                pause = min(pause, MAX_PAUSE_SECONDS)
            await asyncio.sleep(max(0.05, pause))

    async def _beat(self) -> float:
        """One heartbeat, which waits for nothing but Redis; answers the seconds until the next thing is due."""
        slots = 0 if self.draining else self._slots
        asked_ns = time.monotonic_ns()
        renewal = await self._claims.renew(self.name, self._lease_ms, slots, self._held.values())
        clock.correct(renewal.now_ms * 1_000_000, asked_ns)
        for name in renewal.lost - self._lost:  # its next write is refused; an open call goes on, for it is paid for
            _log.warning("lease lost", claim=name)
        self._lost = renewal.lost
        for job_id in renewal.canceling:
            self._cancel(job_id)
        if self.draining:
            return self._lease_ms / 1000
        if self._chores is None or self._chores.done():
            self._chores = asyncio.create_task(self._do_chores(renewal))
        due_ms = min(renewal.due_ms, renewal.backed_off_ms or renewal.due_ms)
        return max(0.5, (due_ms - renewal.now_ms) / 1000)

    async def _do_chores(self, renewal: Renewal) -> None:
        """Look after the lost, and ask for turns that are missing. The heartbeat does not wait for it."""
        try:
            if renewal.due_ms <= renewal.now_ms and self._trusts():
                await self._look_after_the_lost()
            await self._claims.missing_turns(self._slots)
        except ServiceUnavailable:
            return  # the next beat begins them anew
        except Exception as error:  # noqa: BLE001  # as does it then
            _log.error("chores failed", exc_info=error)

    def _ring_later(self, wake_ms: int) -> None:
        """A provider limits our rate: when it may be called again, somebody has to be there."""

        async def ring() -> None:
            await asyncio.sleep(wake_ms / 1000)
            with contextlib.suppress(ServiceUnavailable):  # the heartbeat asks for turns, too
                await self._claims.missing_turns(self._slots)

        self._keep(asyncio.create_task(ring()))

    def _trust_later(self) -> None:
        """Leases may have lapsed because Redis was away: the next one of our own is everybody's time to renew them."""
        self._trusted_from = asyncio.get_running_loop().time() + self._lease_ms / 1000

    def _trusts(self) -> bool:
        return asyncio.get_running_loop().time() >= self._trusted_from

    async def _look_after_the_lost(self) -> None:
        for job_id in await self._claims.reap(self._lease_ms):
            with contextlib.suppress(Stale, moves.MoveRefused, SchemaUnknown):
                job = await self._store.get(job_id)
                if job is not None and job.overdue(now_ms()):
                    await self._store.commit(job, moves.overdue(job, now_ms()))

    async def _salvage(self) -> None:
        await self._salvager.salvage()
        await self._salvager.find_missing()

    async def _keep_on(self, work: Callable[[], Awaitable[None]], pause: float) -> None:
        """Do work again and again, with a pause of so many seconds, whatever becomes of it."""
        while True:
            try:
                await work()
            except ServiceUnavailable:
                await asyncio.sleep(outage.pause())
            except (DarkroomError, OSError) as error:
                _log.warning("housekeeping not done", work=work.__name__, error=str(error))
            except Exception as error:  # noqa: BLE001  # what fails now may succeed later
                _log.error("housekeeping failed", work=work.__name__, exc_info=error)
            await asyncio.sleep(pause)
