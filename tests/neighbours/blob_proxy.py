"""An HTTP proxy before a blob store, for stores that hang, take their time, or refuse what they took before."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class BlobProxy:
    """`verdict` is asked for each request by its method and path.

    None passes it on to the store at `port`, a whole number answers with that status, a float passes it on after so
    many seconds. `seen` has the method and path of each request.
    """

    def __init__(self, port: int) -> None:
        self.verdict: Callable[[str, str], float | None] = lambda _method, _path: None
        self.seen: list[tuple[str, str]] = []
        self.target = port
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def count(self, method: str, part: str = "") -> int:
        """How many requests of a method came for paths with this part."""
        return sum(m == method and part in path for m, path in self.seen)

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: BlobProxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, *_):
        pass

    def _serve(self):
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        proxy.seen.append((self.command, path))
        verdict = proxy.verdict(self.command, path)
        if isinstance(verdict, float):
            proxy.closing.wait(verdict)
        if isinstance(verdict, int):
            self._answer(verdict, {}, b"")
        else:
            self._answer(*self._asked(proxy.target, body))

    def _asked(self, port, body):
        store = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                store.putheader(name, value)
            store.endheaders(body)
            answer = store.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            store.close()

    def _answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in NOT_PASSED_ON:
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running_blob_proxy(port: int) -> Iterator[BlobProxy]:
    proxy = BlobProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
