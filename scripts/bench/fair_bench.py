"""Synchronous calls beside a batch of 500 jobs, of the same org and of another, against the same calls alone."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from app.simulator.server import running_simulator
from tests.neighbours.gateway import Gateway, running_gateway
from tests.neighbours.redis_server import running_redis

BATCH = 500
CALLS = 40
CALL_SECONDS = 1.0
BOUND = 1.5
KIND = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview"}


def main() -> int:
    """Measure alone and beside, side by side in one run, and hold the bound."""
    with (
        running_simulator() as simulator,
        running_redis() as redis,
        running_gateway(redis.url, simulator, DARKROOM_WORKER_SLOTS="20") as gateway,
    ):
        simulator.bench.delay = CALL_SECONDS
        alone = asyncio.run(_calls(gateway, "caller"))
        beside = {org: asyncio.run(_beside(gateway, org)) for org in ("caller", "another")}
    worst = 0.0
    print(f"{'p95 of a call alone, s':<44}{_p95(alone):.2f}")
    for org, took in beside.items():
        ratio = _p95(took) / _p95(alone)
        worst = max(worst, ratio)
        whose = "its own org's batch" if org == "caller" else "another org's batch"
        print(f"{f'beside {whose}, s':<44}{_p95(took):.2f}   {ratio:.2f} times (bound {BOUND})")
    return 0 if worst <= BOUND else 1


async def _beside(gateway: Gateway, org: str) -> list[float]:
    """Calls while a batch of that org runs; what is left of the batch is canceled afterwards."""
    async with gateway.async_client(org) as client:
        body = {**KIND, "prompt": "One of many", "priority": "low"}
        made = await asyncio.gather(*(client.post("/api/v1/jobs", json=body) for _ in range(BATCH)))
        took = await _calls(gateway, "caller")
        ids = [answer.json()["data"]["id"] for answer in made]
        await asyncio.gather(*(client.post(f"/api/v1/jobs/{job_id}/cancel") for job_id in ids))
    return took


async def _calls(gateway: Gateway, org: str) -> list[float]:
    took = []
    async with gateway.async_client(org) as client:
        for number in range(CALLS):
            began = time.monotonic()
            answer = await client.post("/api/v1/agents/images", json={**KIND, "prompt": f"Call {number} {began}"})
            answer.raise_for_status()
            took.append(time.monotonic() - began)
    return took


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[18]


if __name__ == "__main__":
    sys.exit(main())
