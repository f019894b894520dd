"""HTTP on a socket: uvicorn's protocol, with the bounds in time and in size that it does not have."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, NoReturn

import msgspec
import structlog
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEADER_BYTES: Final = 64 * 1024
"""Request line and headers together; as much may come after a body's last byte: chunk extensions and trailers."""
MAX_TARGET_BYTES: Final = 8 * 1024
"""Path and query; RFC 9112 section 3 asks for at least 8,000 of a request line."""
LAST_READ_SECONDS: Final = 0.1
"""After a deadline the loop gets this long to read what has come by then: libuv runs timers before it reads."""
MAX_FIELDS: Final = 128
"""Headers and trailers of a request."""
MAX_WAITING_REQUESTS: Final = 16
"""Requests on one connection behind the one that is being answered (pipelining)."""
MAX_SMALL_CHUNKS: Final = 4_096
MIN_CHUNK_BYTES: Final = 64
"""Beyond `MAX_SMALL_CHUNKS` of them the chunks of a body must be at least so large on average: each costs a call."""

_log = structlog.get_logger()


def bounded(header_seconds: float, body_seconds: float, send_seconds: float) -> type[BoundedProtocol]:
    """The protocol with these deadlines; uvicorn takes a class."""
    told = {"header_seconds": header_seconds, "body_seconds": body_seconds, "send_seconds": send_seconds}
    return type("Bounded", (BoundedProtocol,), told)


class BoundedProtocol(HttpToolsProtocol):
    """Cuts whoever sends a request too slowly, or too much beside its body: the answer says so, the connection ends.

    Cuts as well, without a word that nobody would hear, whoever takes nothing of an answer. Trailers are dropped:
    uvicorn would take them as headers, among them a credential that no proxy has seen (RFC 9110 section 6.5.1).
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
    _fields = 0
    _chunks = 0
    _body_bytes = 0
    _bytes_since_body = 0
    _fault: _Fault | None = None
    _unanswered: tuple[RequestResponseCycle, ...] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """A connection that says nothing is cut as well."""
        super().connection_made(transport)
        self._watch(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is awaited."""
        self._unwatch()
        self._unlook()
        self._leave_all()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, in whatever pieces they come."""
        if self._in_headers:
            if self._deadline is None:
                self._watch(self.header_seconds)
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES and not self._ends_headers(data):
                self._refuse(_LARGE_HEADERS)
                return
            super().data_received(data)
        else:
            self._receive_body(data)

    def on_url(self, url: bytes) -> None:
        """Path and query, or a piece of them."""
        super().on_url(url)
        if len(self.url) > MAX_TARGET_BYTES:
            self._stop(_Fault(414, "URI Too Long", f"path and query have more than {MAX_TARGET_BYTES} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is dropped."""
        self._fields += 1
        if self._fields > MAX_FIELDS:
            self._stop(_LARGE_HEADERS)
        if self._in_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers are here: the body is awaited next."""
        if len(self.pipeline) >= MAX_WAITING_REQUESTS:
            self._stop(_MANY_REQUESTS)
        super().on_headers_complete()
        self._in_headers = False
        self._header_bytes = self._chunks = self._body_bytes = self._bytes_since_body = 0
        self._watch(self.body_seconds)
        if self.cycle is not None and self.cycle not in self._unanswered:  # an upgrade makes none
            self._unanswered = (*self._due(), self.cycle)

    def on_chunk_header(self) -> None:
        """Another chunk of a body begins."""
        self._chunks += 1
        if self._chunks > MAX_SMALL_CHUNKS + self._body_bytes // MIN_CHUNK_BYTES:
            self._stop(_SMALL_CHUNKS)

    def on_body(self, body: bytes) -> None:
        """Some of a body, without what frames it."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here; the next one's headers may come."""
        self._unwatch()
        self._in_headers = True
        self._fields = 0
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Nobody would tell an earlier request of the connection that its client has gone."""
        if self._due():
            self._refuse(_MANY_REQUESTS)
        else:
            super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's own words are no JSON
        """What comes is no HTTP, or one of the callbacks above stopped it."""
        self._refuse(self._fault or _UNREADABLE)

    def pause_writing(self) -> None:
        """More of an answer is here than its reader has room for."""
        super().pause_writing()
        self._look_again(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The reader has read."""
        self._unlook()
        super().resume_writing()

    def _receive_body(self, data: bytes) -> None:
        """The parser keeps a trailer until it is whole, and has no word for it before: what is no body is bounded."""
        before = self._body_bytes
        super().data_received(data)
        self._bytes_since_body = 0 if self._body_bytes > before else self._bytes_since_body + len(data)
        if self._bytes_since_body > MAX_HEADER_BYTES and not self._in_headers:
            self._refuse(_LARGE_HEADERS)

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
        return 0 <= data.find(b"\r\n\r\n") <= MAX_HEADER_BYTES

    def _watch(self, seconds: float) -> None:
        self._unwatch()
        self._deadline = self.loop.call_later(seconds, self._late, self.loop.time() + seconds)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self, due: float) -> None:
        """While this process did not run, nobody read what came: that time is not the client's."""
        self._deadline = self.loop.call_later(max(LAST_READ_SECONDS, self.loop.time() - due), self._cut)

    def _cut(self) -> None:
        self._deadline = None
        part = "headers" if self._in_headers else "body"
        seconds = self.header_seconds if self._in_headers else self.body_seconds
        _log.info("slow request cut", part=part)
        self._refuse(_Fault(408, "Request Timeout", f"the request's {part} took longer than {seconds:g} s", "TIMEOUT"))

    def _stop(self, fault: _Fault) -> NoReturn:
        """Have the parser stop where it is; `send_400_response` is called for it."""
        self._fault = fault
        raise ValueError(fault.message)

    def _refuse(self, fault: _Fault) -> None:
        self._unwatch()
        if self.transport.is_closing():
            return
        if self._may_answer():
            self.transport.write(_answer(fault))
        self._leave_all()
        self.transport.close()

    def _may_answer(self) -> bool:
        """Whether an answer is due to the request that is coming in, and to no earlier one."""
        due = self._due()
        return not due if self._in_headers else due == (self.cycle,) and not self.cycle.response_started

    def _due(self) -> tuple[RequestResponseCycle, ...]:
        """The requests whose answer is not complete, in their order."""
        return tuple(cycle for cycle in self._unanswered if not cycle.response_complete)

    def _leave_all(self) -> None:
        """Tell those who make answers that nobody hears them; uvicorn tells the last one only."""
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()


class _Fault(Struct, frozen=True):
    """Why a connection ends, as its client is told."""

    status: int
    reason: str
    message: str
    code: str = "PAYLOAD_TOO_LARGE"

    @property
    def details(self) -> dict[str, bool]:
        """What asking again would do: the request did not come whole, and made no job."""
        return {"retryable": self.code in {"RATE_LIMITED", "TIMEOUT"}, "safeToRetry": True}


_LARGE_HEADERS: Final = _Fault(
    431,
    "Request Header Fields Too Large",
    f"the request's headers are too large, or more than {MAX_FIELDS}; or what follows its body is",
)
_SMALL_CHUNKS: Final = _Fault(
    413, "Content Too Large", f"send the body in chunks of at least {MIN_CHUNK_BYTES} bytes, or with a Content-Length"
)
_MANY_REQUESTS: Final = _Fault(429, "Too Many Requests", "too many requests wait on one connection", "RATE_LIMITED")
_UNREADABLE: Final = _Fault(400, "Bad Request", "what came cannot be read as HTTP", "INVALID_INPUT")


def _answer(fault: _Fault) -> bytes:
    body: dict[str, Any] = {
        "error": {"code": fault.code, "message": fault.message, "details": fault.details},
        "metadata": {"success": False, "timestamp": int(time.time())},
    }
    content = msgspec.json.encode(body)
    head = (
        f"HTTP/1.1 {fault.status} {fault.reason}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content
