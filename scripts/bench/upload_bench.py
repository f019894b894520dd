"""An edit with a 20 MB picture in base64: the API's memory at its peak, and how long others are kept waiting."""

from __future__ import annotations

import base64
import io
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx
from PIL import Image

from app.simulator.server import running_simulator
from tests.neighbours.gateway import Gateway, running_gateway
from tests.neighbours.redis_server import running_redis

SIDE = 2_600
"""Pixels: as noise, a PNG of 20.3 MB, just below the 20 MiB that a picture may have."""
ROUNDS = 5
BOUNDS = {"extra memory, in bodies": 4.0, "longest wait of others, ms": 50.0}


def main() -> int:
    """Start a gateway, post, and say whether every bound holds."""
    body = edit(SIDE)
    with running_redis() as redis, running_simulator() as simulator:  # noqa: SIM117  # the gateway needs both
        with running_gateway(redis.url, simulator, workers=0) as gateway:
            post(gateway, edit(64))
            quiet = others_while(gateway, lambda: time.sleep(3))
            measured = [one_round(gateway, body) for _ in range(ROUNDS)]
    extra = max(m for m, _ in measured)
    waits = [wait for _, during in measured for wait in during]
    figures = {"extra memory, in bodies": extra / len(body), "longest wait of others, ms": max(waits)}
    print(f"{'body, MB':<32} {len(body) / 1e6:8.1f}")
    print(f"{'extra memory at the peak, MB':<32} {extra / 1e6:8.1f}")
    for name, value in figures.items():
        print(f"{name:<32} {value:8.2f}   (bound {BOUNDS[name]:g})")
    print(f"{'the same with nothing posted':<32} {max(quiet):8.2f}")
    print(f"{'p50 of others, quiet and during':<32} {statistics.median(quiet):8.2f} {statistics.median(waits):8.2f}")
    return 0 if all(value < BOUNDS[name] for name, value in figures.items()) else 1


def one_round(gateway: Gateway, body: bytes) -> tuple[int, list[float]]:
    """Bytes of memory that one post took at its peak, and the milliseconds that others waited meanwhile."""
    status = Path(f"/proc/{gateway.api.pid}/status")
    Path(f"/proc/{gateway.api.pid}/clear_refs").write_text("5")  # the peak starts anew (proc(5))
    before = kilobytes(status, "VmRSS")
    waits = others_while(gateway, lambda: post(gateway, body))
    return (kilobytes(status, "VmHWM") - before) * 1024, waits


def others_while(gateway: Gateway, act: Callable[[], None]) -> list[float]:
    """Milliseconds that each `GET /healthz` took while something was done."""
    begun, ended = multiprocessing.Event(), multiprocessing.Event()
    ours, theirs = multiprocessing.Pipe()
    prober = multiprocessing.Process(target=probe, args=(gateway.url, begun, ended, theirs))
    prober.start()
    begun.wait()
    act()
    ended.set()
    found: list[float] = ours.recv()
    prober.join()
    return found


def probe(url: str, begun: Event, ended: Event, answer: Connection) -> None:
    """Ask again and again on one connection."""
    waits = []
    with httpx.Client(base_url=url, trust_env=False) as client:
        client.get("/healthz")
        begun.set()
        while not ended.is_set():
            at = time.perf_counter()
            client.get("/healthz")
            waits.append((time.perf_counter() - at) * 1000)
            time.sleep(0.002)
    answer.send(waits)


def post(gateway: Gateway, body: bytes) -> None:
    """Hand the edit in; the job itself is nobody's concern here."""
    headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
    with gateway.client("bench") as client:
        answer = client.post("/api/v1/agents/images", content=body, headers=headers)
    if answer.status_code != HTTPStatus.ACCEPTED:
        raise RuntimeError(answer.text)


def edit(side: int) -> bytes:
    """The body of an edit with a picture of noise."""
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)).save(out, "PNG", compress_level=1)
    picture = {"b64": base64.b64encode(out.getvalue()).decode(), "mimeType": "image/png"}
    request = {"provider": "azure-openai", "model": "gpt-image-2", "prompt": "Less noise", "referenceImage": picture}
    return json.dumps(request).encode()


def kilobytes(status: Path, name: str) -> int:
    """One figure of a process' status."""
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(f"{name}:"))


if __name__ == "__main__":
    sys.exit(main())
