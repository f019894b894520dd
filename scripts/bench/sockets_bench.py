"""500 sockets on one API process: what they cost in memory, what 1,000 jobs of others cost, how soon news arrive."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

from app.simulator.server import running_simulator
from tests.neighbours.gateway import Gateway, running_gateway, token
from tests.neighbours.redis_server import running_redis
from tests.neighbours.socket_client import SocketListener, listening

SOCKETS = 500
SETTINGS = {"DARKROOM_STREAMS": str(4 * SOCKETS)}  # they are one caller's, who has a quarter
JOBS = 1_000
MOST_MEGABYTES = 60
MOST_MILLISECONDS = 1.0
"""Of the listening process, for each job of others."""
BODY = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "Somebody else's"}


def main() -> int:
    """Measure, print, and hold the bounds. Sockets hang at one API process, jobs are submitted at another."""
    with (
        running_simulator() as simulator,
        running_redis() as redis,
        running_gateway(redis.url, simulator) as asked,
        running_gateway(redis.url, simulator, workers=0, **SETTINGS) as listening_to,
    ):
        return asyncio.run(_measure(asked, listening_to))


async def _measure(asked: Gateway, listening_to: Gateway) -> int:
    before = _megabytes(listening_to)
    alone = await _busy(asked, listening_to)
    async with AsyncExitStack() as stack:
        hanging = [listening(listening_to.url, token("acme")) for _ in range(SOCKETS)]
        ears = [await stack.enter_async_context(each) for each in hanging]
        during = _megabytes(listening_to)
        beside = await _busy(asked, listening_to)
        others = sum(len(listener.heard) for listener in ears)
        job_id, submitted = await _submitted(asked)
        came = sorted([await _first(listener, job_id) - submitted for listener in ears])
        ends = [(await listener.until("completed", job_id))[-1][0] for listener in ears]
    rows = {
        "memory of the idle process, MB": f"{before:.1f}",
        f"with {SOCKETS} sockets, MB": f"{during:.1f}   (bound {MOST_MEGABYTES} more)",
        f"of its CPU for each of {JOBS} jobs of others, ms": f"{beside:.3f}   (bound {MOST_MILLISECONDS})",
        "the same without a socket, ms": f"{alone:.3f}",
        "messages of others' jobs that came": f"{others}",
        "own job: first word after, ms": f"{statistics.median(came) * 1000:.0f}, the last {came[-1] * 1000:.0f}",
        "own job: sockets that heard its end": f"{len(ends)} of {SOCKETS}",
    }
    for name, value in rows.items():
        print(f"{name:<52}{value}")
    held = during - before < MOST_MEGABYTES and beside < MOST_MILLISECONDS and not others and len(ends) == SOCKETS
    return 0 if held else 1


async def _busy(asked: Gateway, listening_to: Gateway) -> float:
    """Milliseconds of the listening process' CPU for each job of others, from their submission to their end."""
    began = _cpu_seconds(listening_to)
    async with asked.async_client("others") as client:
        room = asyncio.Semaphore(16)

        async def one() -> None:
            async with room:
                (await client.post("/api/v1/jobs", json=BODY, headers={"Prefer": "wait=120"})).raise_for_status()

        await asyncio.gather(*(one() for _ in range(JOBS)))
    return (_cpu_seconds(listening_to) - began) * 1000 / JOBS


async def _submitted(asked: Gateway) -> tuple[str, float]:
    async with asked.async_client() as client:
        began = time.monotonic()
        answer = await client.post("/api/v1/jobs", json={**BODY, "prompt": "[delay=1] Our own"})
        return answer.json()["data"]["id"], began


async def _first(listener: SocketListener, job_id: str) -> float:
    await listener.until("progress", job_id)
    return listener.at[0]


def _megabytes(gateway: Gateway) -> float:
    status = Path(f"/proc/{gateway.api.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _cpu_seconds(gateway: Gateway) -> float:
    fields = Path(f"/proc/{gateway.api.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
