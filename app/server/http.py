"""HTTP on a socket: uvicorn's protocol, with the bounds in time that it does not have."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import msgspec
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES: Final = 64 * 1024
"""Request line and headers together."""

_log = structlog.get_logger()


def bounded(header_seconds: float, body_seconds: float, send_seconds: float) -> type[BoundedProtocol]:
    """The protocol with these deadlines; uvicorn takes a class."""
    told = {"header_seconds": header_seconds, "body_seconds": body_seconds, "send_seconds": send_seconds}
    return type("Bounded", (BoundedProtocol,), told)


class BoundedProtocol(HttpToolsProtocol):
    """Cuts whoever sends a request too slowly, or with headers too large: 408 or 431, and the connection ends.

    Cuts as well, without a word that nobody would hear, whoever takes nothing of an answer.
    """

    header_seconds = 10.0
    """From the connection's opening, or a kept-alive request's first byte, to the end of its headers."""
    body_seconds = 30.0
    """From the end of the headers to the end of the body."""
    send_seconds = 120.0
    """Between two looks at an answer that waits for its reader: some of it has left, or the connection ends."""
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _in_headers = True
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """A connection that says nothing is cut as well."""
        super().connection_made(transport)
        self._watch(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is awaited."""
        self._unwatch()
        self._unlook()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, in whatever pieces they come."""
        if self._in_headers:
            if self._deadline is None:
                self._watch(self.header_seconds)
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADER_BYTES and not self._ends_headers(data):
                self._refuse(431, "Request Header Fields Too Large", "the request's headers are too large")
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The headers are here: the body is awaited next."""
        self._in_headers = False
        self._header_bytes = 0
        self._watch(self.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is here; the next one's headers may come."""
        self._unwatch()
        self._in_headers = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        """More of an answer is here than its reader has room for."""
        super().pause_writing()
        self._look_again(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The reader has read."""
        self._unlook()
        super().resume_writing()

    def _look_again(self, waiting: int) -> None:
        self._unlook()
        self._unread = self.loop.call_later(self.send_seconds, self._look, waiting)

    def _unlook(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _look(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting < before:
            self._look_again(waiting)
            return
        _log.info("reader of nothing cut", waiting=waiting)
        self.transport.abort()

    @staticmethod
    def _ends_headers(data: bytes) -> bool:
        """Whether the piece holds the end of the headers early enough: the rest of it is body."""
        return 0 <= data.find(b"\r\n\r\n") <= MOST_HEADER_BYTES

    def _watch(self, seconds: float) -> None:
        self._unwatch()
        self._deadline = self.loop.call_later(seconds, self._late)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        part = "headers" if self._in_headers else "body"
        seconds = self.header_seconds if self._in_headers else self.body_seconds
        _log.info("slow request cut", part=part)
        self._refuse(408, "Request Timeout", f"the request's {part} took longer than {seconds:g} s")

    def _refuse(self, status: int, reason: str, message: str) -> None:
        self._unwatch()
        if self.transport.is_closing():
            return
        cycle = self.cycle
        busy = cycle is not None and not cycle.response_complete
        if not (busy and (cycle.response_started or self._in_headers)):
            self.transport.write(_answer(status, reason, message))
        if busy:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()


def _answer(status: int, reason: str, message: str) -> bytes:
    body: dict[str, Any] = {
        "error": {"code": "TIMEOUT" if status == 408 else "PAYLOAD_TOO_LARGE", "message": message, "details": {}},  # noqa: PLR2004  # HTTP
        "metadata": {"success": False, "timestamp": int(time.time())},
    }
    content = msgspec.json.encode(body)
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content
