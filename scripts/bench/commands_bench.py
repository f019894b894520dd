"""What a job costs Redis in commands: from outside and inside scripts, in a batch and alone, by depth and by orgs."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter

import redis
from redis.asyncio import Redis

from app.simulator.server import Simulator, running_simulator
from jobs.ids import new_id
from jobs.model import moves
from jobs.model.times import now_ms
from jobs.redis.keys import Keys
from jobs.store.claims import Claims
from jobs.store.jobs import RedisJobStore
from tests.jobs import new_job
from tests.neighbours import wait_until
from tests.neighbours.gateway import Gateway, running_gateway
from tests.neighbours.redis_monitor import TIMED, RedisMonitor, monitored
from tests.neighbours.redis_server import running_redis

BATCH = 200
ALONE = 20
IDLE_SECONDS = 15
KIND = {"provider": "openai", "model": "gpt-image-2", "size": "256x256"}
PROBES = frozenset({"ZCARD", "ECHO"})
"""What this program asks itself."""
BOUNDS = {
    "a batch, from outside": 8.0,
    "a batch, in all": 60.0,
    "alone with a waiter, from outside": 15.0,
}


def main() -> int:
    """Measure, print each figure beside its bound, and hold the bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=100_000, help="jobs that are queued for the figures by depth")
    depth = parser.parse_args().depth
    with running_redis() as server, running_simulator() as simulator:
        with (
            running_gateway(server.url, simulator, DARKROOM_WORKER_SLOTS="8") as gateway,
            monitored(server.url) as monitor,
        ):
            idle(monitor)
            found = batch(gateway, simulator, monitor) | alone(gateway, monitor)
        asyncio.run(by_depth(server.url, ((10, 1), (depth, 1), (depth, 2_000))))
    for name, bound in BOUNDS.items():
        print(f"{name:<44}{found[name]:8.2f}   (bound {bound:g})")
    return 0 if all(found[name] <= bound for name, bound in BOUNDS.items()) else 1


def idle(monitor: RedisMonitor) -> None:
    """What a worker and an API without work ask."""
    monitor.counts()
    begun = time.monotonic()
    time.sleep(IDLE_SECONDS)
    outside, inside = monitor.counts()
    seconds = time.monotonic() - begun
    print(f"{'idle, commands a second':<44}{outside.total() / seconds:8.2f} + {inside.total() / seconds:.2f} inside")


def batch(gateway: Gateway, simulator: Simulator, monitor: RedisMonitor) -> dict[str, float]:
    """A batch of many jobs, from its request to its end."""
    body = {"defaults": KIND, "items": [{"prompt": f"A fox, number {number}"} for number in range(BATCH)]}
    monitor.counts()
    with gateway.client() as client, redis.Redis.from_url(gateway.environment["REDIS_URL"]) as store:
        client.post("/api/v1/batches", json=body).raise_for_status()
        wait_until(lambda: len(simulator.bench.calls()) == BATCH, 100, "the calls")
        wait_until(lambda: not store.zcard(Keys("{darkroom}:").due), 40, "the ends")
        time.sleep(1)
        return shown("a batch", BATCH, *monitor.counts())


def alone(gateway: Gateway, monitor: RedisMonitor) -> dict[str, float]:
    """Calls that wait for their picture, one after the other."""
    with gateway.client() as client:
        for number in range(ALONE):
            body = {"model": "gpt-image-2", "prompt": f"A hare, number {number}", "size": "1024x1024"}
            client.post("/api/v1/agents/images", json={**body, "provider": "azure-openai"}).raise_for_status()
            time.sleep(0.1)  # the worker is idle again
        return shown("alone with a waiter", ALONE, *monitor.counts())


def shown(name: str, jobs: int, outside: Counter[str], inside: Counter[str]) -> dict[str, float]:
    """Print what each command and script cost a job; what goes with time is left out. Answers the sums."""
    left_out = TIMED | PROBES
    costs = {each: (outside[each] / jobs, inside[each] / jobs) for each in outside if each not in left_out}
    print(f"{name}, a job: from outside + inside")
    for each, (out, within) in sorted(costs.items(), key=lambda item: -sum(item[1])):
        print(f"    {each:<40}{out:8.2f} + {within:.2f}")
    out, within = (sum(each) for each in zip(*costs.values(), strict=True))
    print(f"    {'sum':<40}{out:8.2f} + {within:.2f}")
    return {f"{name}, from outside": out, f"{name}, in all": out + within}


async def by_depth(url: str, cases: tuple[tuple[int, int], ...]) -> None:
    """Accepting, claiming and ending jobs with so many queued, of so many orgs."""
    async with Redis.from_url(url) as connection:
        store = RedisJobStore(connection, "{darkroom}:", "http://127.0.0.1")
        for depth, orgs in cases:
            await connection.flushall()
            for first in range(0, depth, 500):
                names = [f"org{number % orgs}" for number in range(first, min(depth, first + 500))]
                await asyncio.gather(*(store.create(new_job(org=name)) for name in names))
            before = (await connection.info("stats"))["total_commands_processed"]
            for number in range(20):
                await _live(store, f"org{number % orgs}")
            cost = ((await connection.info("stats"))["total_commands_processed"] - before - 1) / 20
            print(f"{f'{depth} queued, {orgs} orgs, in all':<44}{cost:8.2f}")


async def _live(store: RedisJobStore, org: str) -> None:
    await store.create(new_job(org=org))
    claim = await Claims(store.redis, store.prefix).claim_next(new_id("turn"), "bench", 60_000)
    if claim is None:
        raise RuntimeError("the queue is empty")
    job = await store.commit(claim.job, moves.start(claim.job, now_ms()), claim.fence)
    await store.commit(job, moves.overdue(job, now_ms()), claim.fence)


if __name__ == "__main__":
    sys.exit(main())
