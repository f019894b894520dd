"""The worker process: arq carries the turns, the heartbeat keeps the leases, and somebody comes for the lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING, Any, Final, Self

import structlog
from arq.worker import func
from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.blobs.expiry import Expiring
from jobs.blobs.opening import blob_store, job_store
from jobs.blobs.spool import Spool
from jobs.catalog.families import Catalog
from jobs.client.inputs import Inputs
from jobs.errors import DarkroomError, ServiceUnavailable
from jobs.ids import new_id
from jobs.logs import configure
from jobs.model import moves
from jobs.model.job import now_ms
from jobs.providers import PROVIDERS
from jobs.queue import TURN, Turns, WakeWorker, arq_redis, deserialize, queue_name, serialize
from jobs.redis.connection import connections
from jobs.redis.pubsub import end, listen
from jobs.store.jobs import Claim, RedisJobStore, Stale
from jobs.store.stats import Breaker, Gauges
from jobs.webhooks.courier import Courier
from jobs.webhooks.endpoints import Endpoints, open_endpoints
from jobs.webhooks.outbox import Outbox
from jobs.webhooks.poster import poster
from jobs.worker.previews import Previews
from jobs.worker.results import Keeper
from jobs.worker.run import Runner

if TYPE_CHECKING:
    from jobs.providers.base import Provider
    from jobs.settings import Settings

BEATS_A_LEASE: Final = 3
"""A lease is renewed this many times within its life."""
TURN_SECONDS: Final = 3_600
"""After this long a turn ends between two jobs, so that arq sees its functions return."""
STARTING_SECONDS: Final = 0.5
SALVAGE_SECONDS: Final = 10.0
"""How often pictures are looked for whose job has ended without them."""
TURN_TIMEOUT_SECONDS: Final = 26 * 3_600
"""Far above any job: the longest lives 24 hours. Ours is the only clock that ends jobs."""

_log = structlog.get_logger()


def run_worker(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then finish what runs within `DARKROOM_DRAIN_SECONDS`."""
    configure(settings.log_format, settings.log_level)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    pool = connections(settings.redis_url)
    redis = Redis(connection_pool=pool)
    endpoints = open_endpoints(redis, settings)
    store = job_store(redis, settings, endpoints.enabled)
    blobs = blob_store(settings)
    providers = await open_providers(settings)
    await blobs.open()
    arq = arq_redis(pool, settings.redis_prefix)
    expiring = Expiring(redis, settings.redis_prefix)
    inputs = Inputs(expiring=expiring, blobs=blobs, settings=settings)
    gauges = Gauges(redis, settings.redis_prefix)
    keeper = Keeper(
        store=store,
        blobs=blobs,
        spool=Spool(settings.data_dir / "spool"),
        expiring=expiring,
        catalog=Catalog.load(settings.models_file),
    )
    previews = Previews(blobs=blobs, expiring=expiring)
    runner = _runner(settings, store, gauges, keeper, previews, inputs, providers)
    hands = Hands(store, runner, keeper, inputs, Turns(arq, settings.redis_prefix), settings)
    worker = WakeWorker(
        functions=[func(_turn, name=TURN, timeout=TURN_TIMEOUT_SECONDS, max_tries=1, keep_result=0)],
        queue_name=queue_name(settings.redis_prefix),
        redis_pool=arq,
        wake_channel=f"{settings.redis_prefix}wake",
        max_jobs=settings.worker_slots,
        max_tries=1,
        retry_jobs=False,
        keep_result=0,
        job_serializer=serialize,
        job_deserializer=deserialize,
        queue_read_limit=1_000,
        job_completion_wait=max(1, settings.drain_seconds),
        health_check_interval=60,
        health_check_key=f"{settings.redis_prefix}arq:health:{hands.name}",
        log_results=False,
        ctx={"hands": hands},
    )
    courier = _courier(settings, redis, endpoints)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _drain, worker, hands, number)
    try:
        await _until_reached(redis)
        async with hands, courier:
            await worker.async_run()
    finally:
        with contextlib.suppress(asyncio.CancelledError, RedisError):
            await worker.close()
        for provider in providers.values():
            await provider.close()
        await blobs.close()
        await pool.disconnect()


async def _until_reached(redis: Redis) -> None:
    """Begin when Redis is there: a worker that is started first waits for it."""
    while True:
        try:
            await redis.ping()
        except (RedisError, OSError) as error:
            _log.warning("waiting for Redis", error=str(error))
            await asyncio.sleep(STARTING_SECONDS)
        else:
            return


def _drain(worker: WakeWorker, hands: Hands, number: signal.Signals) -> None:
    hands.draining = True
    worker.handle_sig_wait_for_completion(number)


def _runner(  # noqa: PLR0913, PLR0917  # the composition root hands over each part
    settings: Settings,
    store: RedisJobStore,
    gauges: Gauges,
    keeper: Keeper,
    previews: Previews,
    inputs: Inputs,
    providers: dict[str, Provider],
) -> Runner:
    return Runner(
        store=store,
        gauges=gauges,
        keeper=keeper,
        previews=previews,
        inputs=inputs,
        catalog=Catalog.load(settings.models_file),
        providers=providers,
        provider_seconds=settings.provider_seconds,
        absorb_seconds=settings.absorb_seconds,
        breaker=Breaker(settings.breaker_failures, settings.breaker_seconds * 1000),
    )


def _courier(settings: Settings, redis: Redis, endpoints: Endpoints) -> Courier:
    return Courier(
        outbox=Outbox(redis, settings.redis_prefix),
        redis=redis,
        endpoints=endpoints,
        poster=poster(settings),
        schedule=settings.webhook_schedule,
    )


async def open_providers(settings: Settings) -> dict[str, Provider]:
    """The configured providers, opened: only their SDKs are imported."""
    providers = {name: entry.make(settings) for name, entry in PROVIDERS.items() if entry.missing(settings) is None}
    for provider in providers.values():
        await provider.open()
    return providers


async def _turn(ctx: dict[str, Any]) -> None:
    hands: Hands = ctx["hands"]
    await hands.turn(ctx["job_id"])


class Hands:
    """What one worker process does beside arq: turns, heartbeat, and looking after the lost."""

    def __init__(  # noqa: PLR0913, PLR0917  # the composition root hands over each part
        self,
        store: RedisJobStore,
        runner: Runner,
        keeper: Keeper,
        inputs: Inputs,
        turns: Turns,
        settings: Settings,
    ) -> None:
        self.name = f"{socket.gethostname()}/{os.getpid()}/{new_id('w')[-6:]}"
        self.draining = False
        self._store = store
        self._runner = runner
        self._keeper = keeper
        self._inputs = inputs
        self._turns = turns
        self._slots = settings.worker_slots
        self._lease_ms = settings.lease_seconds * 1000
        self._trusted_from = 0.0
        """When every worker that lives has had the time to renew its leases: before, nobody is taken for lost."""
        self._held: dict[str, Claim] = {}
        self._lost: frozenset[str] = frozenset()
        self._tasks: list[asyncio.Task[None]] = []
        self._cancels: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._beat_on()),
            asyncio.create_task(listen(self._store.redis, f"{self._store.prefix}cancel", self._hear)),
            asyncio.create_task(self._salvage_on()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            await end(task)
        with contextlib.suppress(DarkroomError):
            await self._store.leave(self.name, self._slots, [])

    async def turn(self, turn: str) -> None:
        """Run jobs until there is none, this worker drains, or the turn has lasted long enough."""
        clock = asyncio.get_running_loop().time
        end = clock() + TURN_SECONDS
        try:
            while not self.draining and clock() < end:
                claim = await self._store.claim_next(turn, self.name, self._lease_ms)
                if claim is None:
                    return
                await self._hold(claim)
            await self._store.leave(self.name, 0, [turn])
        except ServiceUnavailable as error:
            _log.warning("turn ended", error=error.message)  # the heartbeat asks for another

    async def _hold(self, claim: Claim) -> None:
        task = asyncio.create_task(self._runner.run(claim))
        self._held[claim.name] = claim
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        finally:
            del self._held[claim.name]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("job run failed", job=claim.job.id, exc_info=error)

    def _hear(self, job_id: bytes | None) -> None:
        """A cancel, told to every worker; one that was not heard is seen by the heartbeat."""
        if job_id is not None:
            task = asyncio.create_task(self._runner.cancel(job_id.decode()))
            self._cancels.add(task)
            task.add_done_callback(self._cancels.discard)

    async def _salvage_on(self) -> None:
        while True:
            try:
                await self._keeper.salvage()
                await self._keeper.seek()
            except (DarkroomError, OSError) as error:
                _log.warning("spool not emptied", error=str(error))
            await asyncio.sleep(SALVAGE_SECONDS)

    async def _beat_on(self) -> None:
        while True:
            pause = self._lease_ms / 1000 / BEATS_A_LEASE
            try:
                pause = min(pause, await self._beat())
            except (DarkroomError, RedisError) as error:
                _log.warning("heartbeat failed", error=str(error))
                self._trusted_from = asyncio.get_running_loop().time() + self._lease_ms / 1000
                pause = 0.5
            except Exception as error:  # noqa: BLE001  # a worker without a heart would lose every job in its hands
                _log.error("heartbeat went wrong", exc_info=error)
            await asyncio.sleep(max(0.05, pause))

    async def _beat(self) -> float:
        """One heartbeat; answers the seconds until the next thing is due."""
        slots = 0 if self.draining else self._slots
        beat = await self._store.beat(self.name, self._lease_ms, slots, self._held.values())
        for name in beat.lost - self._lost:  # its next write is refused; an open call goes on, for it is paid for
            _log.warning("lease lost", claim=name)
        self._lost = beat.lost
        for job_id in beat.canceling:
            await self._runner.cancel(job_id)
        if self.draining:
            return self._lease_ms
        if beat.due_ms is not None and beat.due_ms <= beat.now_ms and self._trusts():
            await self._look_after_the_lost()
        for turn in await self._store.missing_turns(self._slots):
            await self._turns.ring(turn)
        await self._turns.sweep()
        await self._inputs.sweep()
        due = [ms for ms in (beat.due_ms, beat.later_ms) if ms is not None]
        return max(0.5, (min(due) - beat.now_ms) / 1000) if due else self._lease_ms

    def _trusts(self) -> bool:
        return asyncio.get_running_loop().time() >= self._trusted_from

    async def _look_after_the_lost(self) -> None:
        for job_id in await self._store.overdue(self._lease_ms):
            job = await self._store.get(job_id)
            if job is not None and job.overdue(now_ms()):
                with contextlib.suppress(Stale, moves.MoveRefused):
                    await self._store.commit(job, moves.overdue(job, now_ms()))
