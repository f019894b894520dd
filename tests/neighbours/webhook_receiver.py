"""A webhook receiver on loopback: it notes what comes, and answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.neighbours import wait_until


class Post:
    """What was received: headers by lower-case name, and the exact bytes."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path = path
        self.headers = headers
        self.body = body
        self.event = json.loads(body)


class Receiver:
    """`answer` gets the post and how many came before it; it gives `(status, headers, body)` or a bare status."""

    def __init__(self, answer: Callable[[Post, int], object], port: int = 0) -> None:
        self.posts: list[Post] = []
        self._answer = answer
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def until(self, count: int, *, timeout: float = 20) -> list[Post]:
        wait_until(lambda: len(self.posts) >= count, what=f"{count} posts", seconds=timeout)
        return self.posts

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # whoever posted has gone
                post = Post(self.path, headers, body)
                before = len(receiver.posts)
                receiver.posts.append(post)
                told = receiver._answer(post, before)
                status, more, body = told if isinstance(told, tuple) else (told, {}, b"ok")
                try:
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(body)), **more}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # whoever posted has gone

            def log_message(self, *_):
                pass

        return Handler


@contextmanager
def running_receiver(answer: Callable[[Post, int], object] = lambda *_: 200, port: int = 0) -> Iterator[Receiver]:
    """A receiver that answers 200 unless told otherwise."""
    receiver = Receiver(answer, port)
    try:
        yield receiver
    finally:
        receiver.close()
