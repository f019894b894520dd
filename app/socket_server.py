"""The Socket.IO library as it is run here: one namespace, small text messages, silence about what strangers send."""

from __future__ import annotations

import logging
from typing import Any, Final

import socketio

NAMESPACE: Final = "/image-progress"
MOST_MESSAGE_BYTES: Final = 16 * 1024
"""What a client may send at once: a token and an id are far shorter."""
EVENTS: Final = frozenset({"subscribe", "unsubscribe"})


def socket_server() -> Any:
    """A server without handlers. Its origins are not checked, nor its headers set: the application does both."""
    return socketio.AsyncServer(
        async_mode="asgi",
        namespaces=[NAMESPACE],
        serializer=Packet,
        async_handlers=False,  # one event of a socket after the other: a flood of them waits in its own connection
        cors_allowed_origins=[],
        http_compression=False,
        max_http_buffer_size=MOST_MESSAGE_BYTES,
        logger=_quiet("socketio.server"),
        engineio_logger=_quiet("engineio.server"),
    )


async def cut(session: Any) -> None:
    """End a session of Engine.IO from our side; its client may come back."""
    await session.close(wait=False)
    leave(session)


def leave(session: Any) -> None:
    """End what still writes to a session: its websocket, or a poll that would go on until its time is over."""
    session.queue.put_nowait(None)


class Packet(socketio.packet.Packet):  # type: ignore[misc]  # the library has no types
    """A client's packet. Attachments are not taken, and names that are not ours (`disconnect`, too) are ignored."""

    data: Any

    def decode(self, encoded_packet: Any) -> int:
        """Read it. Raises `ValueError`, which the library takes for a bad packet."""
        attachments: int = super().decode(encoded_packet)
        if self.packet_type in {socketio.packet.BINARY_EVENT, socketio.packet.BINARY_ACK}:
            raise ValueError("attachments are not taken")
        if self.packet_type == socketio.packet.EVENT and not _is_ours(self.data):
            self.data = ["ignored"]
        return attachments


def _is_ours(data: object) -> bool:
    return isinstance(data, list) and bool(data) and isinstance(data[0], str) and data[0] in EVENTS


def _quiet(name: str) -> logging.Logger:
    """What strangers send wrongly is no news of ours; our own handlers log for themselves."""
    logger = logging.getLogger(name)
    logger.setLevel(logging.CRITICAL)
    return logger
