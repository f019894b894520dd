"""2,000 waits and 500 event streams on one API process: all answered, and what they cost in memory."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import httpx

from app.simulator.server import running_simulator
from tests.neighbours.gateway import Gateway, running_gateway, token
from tests.neighbours.redis_server import running_redis

WAITS = 2_000
STREAMS = 500
MOST_MEGABYTES = 150
CALLERS = [
    {"Authorization": f"Bearer {token(org, sub=subject)}"} for org in ("acme", "rival") for subject in ("ann", "bob")
]
"""Enough of them: one has a quarter of the waits and streams, one org half."""
BODY = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "Waited for"}
SETTINGS = {"DARKROOM_WORKER_SLOTS": "50", "DARKROOM_BODY_SECONDS": "120", "DARKROOM_HEADER_SECONDS": "120"}


def main() -> int:
    """Measure, print, and hold the bounds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16_384)), hard))
    with (
        running_simulator() as simulator,
        running_redis() as redis,
        running_gateway(redis.url, simulator, workers=0, **SETTINGS) as gateway,
    ):
        before, during, after, seconds, answered, ended = asyncio.run(_load(gateway))
    grown = during - before
    rows = {
        "memory of the idle process, MB": f"{before:.1f}",
        f"with {WAITS} waits and {STREAMS} streams, MB": f"{during:.1f}",
        "grown by, MB": f"{grown:.1f}   (bound {MOST_MEGABYTES})",
        "after all were answered, MB": f"{after:.1f}",
        "waits answered with 200": f"{answered} of {WAITS}",
        "streams that saw the end": f"{ended} of {STREAMS}",
        "from the worker's start to the last answer, s": f"{seconds:.1f}",
    }
    for name, value in rows.items():
        print(f"{name:<52}{value}")
    return 0 if grown < MOST_MEGABYTES and answered == WAITS and ended == STREAMS else 1


async def _load(gateway: Gateway) -> tuple[float, float, float, float, int, int]:
    limits = httpx.Limits(max_connections=WAITS + STREAMS + 50)
    async with httpx.AsyncClient(base_url=gateway.url, timeout=300, trust_env=False, limits=limits) as client:
        await client.get("/api/v1/jobs", headers=CALLERS[0])
        before = _megabytes(gateway)
        streamed = [(caller, await _submitted(client, caller)) for _, caller in _each(STREAMS)]
        opened = asyncio.Semaphore(0)
        streams = [asyncio.create_task(_stream(client, caller, job_id, opened)) for caller, job_id in streamed]
        for _ in range(STREAMS):
            await opened.acquire()
        waits = [asyncio.create_task(_wait(client, caller)) for _, caller in _each(WAITS)]
        await _until_waiting(client)
        during = _megabytes(gateway)
        began = time.monotonic()
        gateway.start_worker()
        answers = await asyncio.gather(*waits)
        ends = await asyncio.gather(*streams)
        took = time.monotonic() - began
        return before, during, _megabytes(gateway), took, answers.count(200), ends.count("image.job.succeeded")


def _each(count: int) -> Iterator[tuple[int, dict[str, str]]]:
    return zip(range(count), cycle(CALLERS), strict=False)


async def _submitted(client: httpx.AsyncClient, caller: dict[str, str]) -> str:
    job_id: str = (await client.post("/api/v1/jobs", json=BODY, headers=caller)).json()["data"]["id"]
    return job_id


async def _wait(client: httpx.AsyncClient, caller: dict[str, str]) -> int:
    headers = {**caller, "Prefer": "wait=120"}
    return (await client.post("/api/v1/agents/images", json=BODY, headers=headers)).status_code


async def _stream(client: httpx.AsyncClient, caller: dict[str, str], job_id: str, opened: asyncio.Semaphore) -> str:
    last = ""
    headers = {**caller, "Accept": "text/event-stream"}
    async with client.stream("GET", f"/api/v1/jobs/{job_id}/events", headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                if not last:
                    opened.release()
                last = line.removeprefix("event: ")
    return last


async def _until_waiting(client: httpx.AsyncClient) -> None:
    while True:
        here = (await client.get("/api/v1/stats", headers=CALLERS[0])).json()["data"]["here"]
        if here["waits"] >= WAITS:
            return
        await asyncio.sleep(0.2)


def _megabytes(gateway: Gateway) -> float:
    status = Path(f"/proc/{gateway.api.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
