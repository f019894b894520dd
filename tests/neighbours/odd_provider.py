"""A far end on loopback that speaks OpenAI's wire and sends, for each prompt, the bytes that it was told."""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class OddProvider:
    """`pictures`: what is sent as the picture of a prompt; `answers`: status and body instead. `calls` by prompt."""

    def __init__(self) -> None:
        self.pictures: dict[str, bytes] = {}
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.calls: Counter[str] = Counter()
        far = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["prompt"]
                far.calls[prompt] += 1
                status, body = far.answers.get(prompt) or far.drawn(prompt)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def drawn(self, prompt: str) -> tuple[int, bytes]:
        data = base64.b64encode(self.pictures[prompt]).decode()
        return 200, json.dumps({"data": [{"b64_json": data}]}).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_odd_provider() -> Iterator[OddProvider]:
    provider = OddProvider()
    try:
        yield provider
    finally:
        provider.close()
