"""Four pictures of 5 MB as `b64_json` by the OpenAI face: how much the API process grows at its peak, by blob store."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image

from app.simulator.server import running_simulator
from scripts.bench.upload_bench import kilobytes
from tests.neighbours.azurite import running_azurite
from tests.neighbours.gateway import Gateway, running_gateway
from tests.neighbours.redis_server import running_redis

PICTURES, LEAST = 4, 5_000_000
SIDE = 1_296
"""Pixels: as noise, a PNG of 5.04 MB."""
ROUNDS = 5
MOST_MEGABYTES = 12.0
BODY = {"model": "openai/gpt-image-2", "prompt": "Noise", "n": PICTURES, "response_format": "b64_json"}


def main() -> int:
    """Measure with a local folder and with Azurite, print, and hold the bound."""
    worst = 0.0
    with running_redis() as redis, running_simulator() as simulator, noise() as shared_simulator:
        stores: list[tuple[str, dict[str, str]]] = [("local folder", {})]
        with contextlib.ExitStack() as more:
            azurite = more.enter_context(running_azurite())
            stores.append(("Azurite", {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}))
            for name, settings in stores:
                with running_gateway(
                    redis.url, simulator, OPENAI_BASE_URL=f"{shared_simulator}/v1", **settings
                ) as gateway:
                    one_round(gateway)
                    rounds = [one_round(gateway) for _ in range(ROUNDS)]
                grown = max(rounds)
                worst = max(worst, grown)
                print(f"{f'peak growth with {name}, MB':<40} {grown:8.2f}   (bound {MOST_MEGABYTES:g})")
    print(f"{'answer, MB':<40} {PICTURES * SIDE * SIDE * 3 * 4 / 3 / 1e6:8.2f}")
    return 0 if worst <= MOST_MEGABYTES else 1


def one_round(gateway: Gateway) -> float:
    """Megabytes that the API process grew by at its peak while it wrote one answer, read at the speed of loopback."""
    status = Path(f"/proc/{gateway.api.pid}/status")
    Path(f"/proc/{gateway.api.pid}/clear_refs").write_text("5")  # the peak starts anew (proc(5))
    before = kilobytes(status, "VmRSS")
    with gateway.client("bench") as client:
        answer = client.post("/v1/images/generations", json=BODY)
    pictures = [base64.b64decode(image["b64_json"]) for image in answer.json()["data"]]
    if len(pictures) != PICTURES or min(map(len, pictures)) < LEAST:
        raise RuntimeError(answer.text[:500])
    return (kilobytes(status, "VmHWM") - before) / 1024


@contextlib.contextmanager
def noise() -> Iterator[str]:
    """A far end that answers every call with the same four pictures."""
    out = io.BytesIO()
    Image.frombytes("RGB", (SIDE, SIDE), os.urandom(SIDE * SIDE * 3)).save(out, "PNG", compress_level=0)
    item = {"b64_json": base64.b64encode(out.getvalue()).decode()}
    body = json.dumps({"created": 1, "data": [item] * PICTURES}).encode()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
