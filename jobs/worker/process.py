"""The worker process: arq carries the turns, the heartbeat keeps the leases, and somebody comes for the lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
import uvloop
from arq.worker import func
from redis.asyncio import Redis

from jobs.authorities import trust
from jobs.blobs.expiry import BlobExpiry
from jobs.blobs.opening import blob_store
from jobs.blobs.spool import Spool
from jobs.errors import ServiceUnavailable
from jobs.history.history import open_history
from jobs.logs import configure
from jobs.pictures.decoding import Decoder
from jobs.providers.accounts import configured, counted
from jobs.providers.offers import offered
from jobs.queue import TURN, arq_redis, deserialize, serialize
from jobs.redis.connection import connections, outage, translate_redis_errors
from jobs.redis.keys import Keys
from jobs.shutdown import Shutdown, cancel
from jobs.store.breaker import circuit_breaker
from jobs.store.claims import Claims
from jobs.store.jobs import job_store
from jobs.store.replication import Replication
from jobs.store.troubles import Troubles
from jobs.webhooks.courier import Courier
from jobs.webhooks.endpoints import Endpoints, open_endpoints
from jobs.webhooks.news import News
from jobs.webhooks.outbox import Outbox, outbox_rows
from jobs.webhooks.poster import poster
from jobs.worker.arq_worker import TurnWorker
from jobs.worker.call import CallContext
from jobs.worker.inputs import InputLoader
from jobs.worker.loop import FAREWELL_SECONDS, JobLoop
from jobs.worker.operators import Operators
from jobs.worker.output_format import Converter
from jobs.worker.previews import Previews
from jobs.worker.results import ResultWriter
from jobs.worker.run import Runner
from jobs.worker.salvage import Salvager

if TYPE_CHECKING:
    from arq.connections import ArqRedis

    from jobs.blobs.store import BlobStore
    from jobs.history.history import History
    from jobs.providers.base import Provider
    from jobs.settings import Settings

MAX_PAUSE_SECONDS: Final = 5.0
"""Between two looks at a Redis that is not there yet."""
TURN_TIMEOUT_SECONDS: Final = 26 * 3_600
"""Far above any job: the longest lives 24 hours. Ours is the only clock that ends jobs."""

_log = structlog.get_logger()


def run_worker(settings: Settings, shutdown: Shutdown) -> None:
    """Run until SIGTERM or SIGINT, then finish what runs within `DARKROOM_DRAIN_SECONDS`."""
    configure(settings.log_format, settings.log_level)
    trust(settings.ca_file, settings.data_dir)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, shutdown))


async def open_providers(settings: Settings) -> dict[str, Provider]:
    """The far ends of the configured accounts, by name, opened: only their SDKs are imported."""
    providers = {each.account.name: each.make() for accounts in configured(settings).values() for each in accounts}
    for provider in providers.values():
        await provider.open()
    return providers


async def _serve(settings: Settings, shutdown: Shutdown) -> None:
    pool = connections(settings.redis_url)
    redis = Redis(connection_pool=pool)
    arq = arq_redis(pool, settings.redis_prefix)
    endpoints = open_endpoints(redis, settings)
    providers = await open_providers(settings)
    blobs, decoder, history = blob_store(settings), Decoder(), open_history(redis, settings)
    await blobs.open()
    job_loop = _job_loop(settings, redis, endpoints, blobs, providers, decoder)
    worker = _arq_worker(settings, arq, job_loop)
    told = asyncio.Event()
    shutdown.within(settings.drain_seconds, partial(asyncio.get_running_loop().call_soon_threadsafe, told.set))
    try:
        if await _ended_before(told, _until_reached(redis)):
            await _work(worker, job_loop, _courier(settings, redis, endpoints, history), told, settings.drain_seconds)
    finally:
        with contextlib.suppress(ServiceUnavailable), translate_redis_errors():
            async with asyncio.timeout(FAREWELL_SECONDS):
                await worker.close()
        for provider in providers.values():
            await provider.close()
        await decoder.close()
        await history.close()
        await blobs.close()
        await pool.disconnect()


def _job_loop(  # noqa: PLR0913, PLR0917  # the composition root hands over each part
    settings: Settings,
    redis: Redis,
    endpoints: Endpoints,
    blobs: BlobStore,
    providers: dict[str, Provider],
    decoder: Decoder,
) -> JobLoop:
    accounts = counted(settings)
    store = job_store(redis, settings, outbox_rows(endpoints.enabled, blobs.link), accounts)
    claims = Claims(redis, settings.redis_prefix, accounts)
    catalog = offered(settings)
    expiry = BlobExpiry(redis, settings.redis_prefix, blobs)
    spool, converter = Spool(settings.data_dir / "spool"), Converter(catalog, decoder)
    writer = ResultWriter(store=store, blobs=blobs, spool=spool, expiry=expiry, converter=converter)
    salvager = Salvager(store=store, claims=claims, blobs=blobs, spool=spool, writer=writer, converter=converter)
    context = CallContext(
        breaker=circuit_breaker(redis, settings),
        replication=Replication(redis, settings.redis_prefix, settings.intent_replicas),
        writer=writer,
        previews=Previews(blobs=blobs, expiry=expiry),
        catalog=catalog,
        providers=providers,
        accounts=accounts,
        operators=Operators(
            Troubles(redis, settings.redis_prefix), News(Outbox(redis, settings.redis_prefix), endpoints)
        ),
        provider_seconds=settings.provider_seconds,
    )
    runner = Runner(
        store=store,
        context=context,
        salvager=salvager,
        rooms=claims.rooms,
        inputs=InputLoader(blobs=blobs, settings=settings, decoder=decoder, catalog=catalog),
        absorb_seconds=settings.absorb_seconds,
    )
    return JobLoop(store, claims, runner, salvager, expiry, settings)


def _arq_worker(settings: Settings, arq: ArqRedis, job_loop: JobLoop) -> TurnWorker:
    return TurnWorker(
        functions=[func(_turn, name=TURN, timeout=TURN_TIMEOUT_SECONDS, max_tries=1, keep_result=0)],
        keys=Keys(settings.redis_prefix),
        redis_pool=arq,
        max_jobs=settings.worker_slots,
        max_tries=1,
        retry_jobs=False,
        keep_result=0,
        job_serializer=serialize,
        job_deserializer=deserialize,
        handle_signals=False,
        health_check_interval=60,
        health_check_key=Keys(settings.redis_prefix).arq_health(job_loop.name),
        log_results=False,
        ctx={"job_loop": job_loop},
    )


async def _turn(ctx: dict[str, Any]) -> None:
    job_loop: JobLoop = ctx["job_loop"]
    await job_loop.turn(ctx["job_id"])


def _courier(settings: Settings, redis: Redis, endpoints: Endpoints, history: History) -> Courier:
    return Courier(
        outbox=Outbox(redis, settings.redis_prefix),
        redis=redis,
        endpoints=endpoints,
        poster=poster(settings),
        history=history,
        schedule=settings.webhook_schedule,
    )


async def _ended_before(told: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Whether the work came to its end before the process was told to end. Raises what the work does."""
    working, telling = asyncio.create_task(work), asyncio.create_task(told.wait())
    await asyncio.wait([working, telling], return_when=asyncio.FIRST_COMPLETED)
    if ended := working.done():
        working.result()
    await cancel(working, telling)
    return ended


async def _until_reached(redis: Redis) -> None:
    """Begin when Redis is there: a worker that is started first waits for it."""
    while True:
        try:
            with translate_redis_errors():
                await redis.ping()
        except ServiceUnavailable:
            await asyncio.sleep(outage.pause(MAX_PAUSE_SECONDS))
        else:
            return


async def _work(worker: TurnWorker, job_loop: JobLoop, courier: Courier, told: asyncio.Event, seconds: float) -> None:
    """Run jobs until told to end, then finish what runs, and the posts under way, within so many seconds."""
    async with job_loop, courier:
        running = asyncio.create_task(worker.main())
        await told.wait()
        job_loop.draining = True
        _log.info("draining", turns=len(worker.tasks), seconds=seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await worker.finish()
                await courier.finish()
        await worker.stop()
        await cancel(running)
