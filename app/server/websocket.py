"""A websocket on a socket: uvicorn's protocol, with the bounds on what a client makes it keep that it does not have."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

STALL_SECONDS: Final = 30.0
"""A client that takes nothing of what is written to it for so long is cut."""
MAX_UNREAD_BYTES: Final = 256 * 1024
"""With so much unread a client is answered no ping: the library would write its pongs on and on."""
MAX_FRAGMENTS: Final = 64
"""A message of at most `MAX_MESSAGE_BYTES` may come in so many pieces; empty ones count nowhere else."""
MAX_QUEUED_MESSAGES: Final = 1_024
"""Messages that came at once and were not looked at yet; reading pauses meanwhile."""

_UNREADABLE: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Cuts the connection of whoever sends what nobody needs, or does not read; the rest is the application's."""

    stall_seconds = STALL_SECONDS
    _stall: asyncio.TimerHandle | None = None
    _unwritten = 0
    _too_late = 0

    def data_received(self, data: bytes) -> None:
        """A handshake that cannot be read is refused: the library would say nothing of it, and wait without end."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or _UNREADABLE)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is awaited."""
        self._unwatch()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not keep up."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It does again."""
        self._unwatch()
        super().resume_writing()

    def handle_ping(self) -> None:
        """Answer it, unless the earlier answers are not read."""
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.transport.abort()
        if not self.transport.is_closing():
            super().handle_ping()

    def handle_cont(self, event: Any) -> None:
        """A further piece of a message."""
        super().handle_cont(event)
        if len(self.frames) > MAX_FRAGMENTS:
            self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        """Hand a message on, unless too many wait, or come although it was said that this is the end."""
        super().send_receive_event_to_app()
        self._too_late += self.close_sent
        if max(self.queue.qsize(), self._too_late) > MAX_QUEUED_MESSAGES:
            self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done with it: what is still to be written is awaited for a while."""
        super().on_task_complete(task)
        if not self.disconnected and self._stall is None:
            self._watch()

    def _watch(self) -> None:
        self._unwatch()
        self._unwritten = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self.stall_seconds, self._look)

    def _unwatch(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _look(self) -> None:
        if self.transport.get_write_buffer_size() < self._unwritten:
            self._watch()
        else:
            self.transport.abort()
