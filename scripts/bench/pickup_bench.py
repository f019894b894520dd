"""Pick-up: from the submit call to the job's first line in a worker process, and what a finished job takes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from msgspec.structs import replace
from redis.asyncio import Redis

from app.main import make_services
from app.services import Services
from app.simulator.server import running_simulator
from jobs.blobs.opening import blob_store
from jobs.client.submission import Submission
from jobs.model import moves
from jobs.model.job import Job, Options
from jobs.model.moves import Changed
from jobs.model.picture import Image
from jobs.model.request import ImageRequest
from jobs.model.times import now_ms
from jobs.settings import Settings
from jobs.store.claims import Claims
from jobs.store.jobs import RedisJobStore
from jobs.store.stats import Stats
from tests.neighbours import start, stop
from tests.neighbours.redis_server import RedisServer, running_redis

IMAGE = Image(
    index=0,
    url="http://127.0.0.1:8000/files/images/bench/2026-11-28/7985041c-be35-5d5b-b385-aa14aafccde7.png",
    blob="images/bench/2026-11-28/7985041c-be35-5d5b-b385-aa14aafccde7.png",
    media_type="image/png",
    bytes=1_534_221,
    sha256=hashlib.sha256(b"a picture").hexdigest(),
    width=1024,
    height=1024,
)
LIFE: Sequence[Callable[[Job, int], Changed]] = (
    moves.start,
    lambda job, now: moves.intend(job, now, (0,)),
    lambda job, now: moves.checkpoint(job, now, IMAGE, 310),
    lambda job, now: moves.settle(job, now, 1, outcome="succeeded", charged=True),
    moves.succeed,
)
SAMPLES = 300
FINISHED = 500
BOUNDS = {"p50_ms": 5.0, "p99_ms": 20.0, "idle_commands_a_second": 5.0, "bytes_a_finished_job": 4_096.0}


def main() -> int:
    """Start the neighbours, measure, and say whether every bound holds."""
    with running_redis() as redis, running_simulator() as simulator, tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "REDIS_URL": redis.url,
            "DARKROOM_SECRET_KEY": base64.b64encode(bytes(32)).decode(),
            "DARKROOM_DATA_DIR": folder,
            "DARKROOM_DEV": "1",
            "AZURE_STORAGE_PUBLIC": "1",
            "DARKROOM_DRAIN_SECONDS": "2",
            "DARKROOM_LOG_LEVEL": "error",
            "OPENAI_API_KEY": "k",
            "OPENAI_BASE_URL": f"{simulator.url}/v1",
        }
        os.environ.update(environment)
        return asyncio.run(measure(redis, environment))


async def measure(redis: RedisServer, environment: dict[str, str]) -> int:
    """Print each figure beside its bound."""
    settings = Settings.load(env_file=None)
    connection = Redis.from_url(redis.url)
    store = RedisJobStore(connection, settings.redis_prefix, settings.public_base_url)
    stats = Stats(connection, settings.redis_prefix)
    services = make_services(settings, connection.connection_pool, blob_store(settings))
    size = await bytes_a_finished_job(store, services, connection)
    await connection.flushall()
    worker = start([sys.executable, "-m", "app.cli", "worker"], env=environment)
    try:
        await until_slots(stats)
        await asyncio.sleep(3)
        before, begun = redis.commands(), time.monotonic()
        await asyncio.sleep(20)
        idle = (redis.commands() - before) / (time.monotonic() - begun)
        found = [await pick_up(services) for _ in range(SAMPLES)]
    finally:
        stop(worker)
        await connection.aclose()
    cuts = statistics.quantiles(found, n=100)
    measured = {"p50_ms": cuts[49], "p99_ms": cuts[98], "idle_commands_a_second": idle, "bytes_a_finished_job": size}
    for name, value in measured.items():
        print(f"{name:<32} {value:8.2f}   (bound {BOUNDS[name]:g})")
    return 0 if all(value <= BOUNDS[name] for name, value in measured.items()) else 1


async def pick_up(services: Services) -> float:
    """Milliseconds from the call of submit to the moment that the worker wrote as the job's start."""
    begun = time.time()
    job = (await services.submitter.submit(ask())).job
    while True:
        job = await services.jobs.get("bench", job.id)
        if job.status.terminal:
            return (job.started_ms or 0) + 1 - begun * 1000  # the record's milliseconds are rounded down
        await asyncio.sleep(0.02)


async def bytes_a_finished_job(store: RedisJobStore, services: Services, connection: Redis) -> float:
    """Bytes of Redis that a job with one picture and an idempotency key takes when it has succeeded."""
    await connection.flushall()
    for _ in range(50):  # buffers and scripts have their size by then
        await finish(store, services)
    before = (await connection.info("memory"))["used_memory"]
    for _ in range(FINISHED):
        await finish(store, services)
    return ((await connection.info("memory"))["used_memory"] - before) / FINISHED


async def finish(store: RedisJobStore, services: Services) -> None:
    """One job, submitted, run and succeeded."""
    await services.submitter.submit(replace(ask(), idempotency_key=secrets.token_hex(16)))
    claim = await Claims(store.redis, store.prefix).claim_next("turn", "bench", 60_000)
    if claim is None:
        raise RuntimeError("the queue is empty")
    job = claim.job
    for move in LIFE:
        job = await store.commit(job, move(job, now_ms()), claim.fence)


async def until_slots(stats: Stats) -> None:
    """Until a worker is there."""
    while not (await stats.counts())["slots"]:  # noqa: ASYNC110  # another process's doing
        await asyncio.sleep(0.05)


def ask() -> Submission:
    """One small picture."""
    request = ImageRequest(provider="openai", model="gpt-image-2", prompt="a mug", size="256x256")
    return Submission(org="bench", subject="-", face="jobs", request=request, options=Options())


if __name__ == "__main__":
    sys.exit(main())
