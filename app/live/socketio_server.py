"""The Socket.IO library as it is run here: one namespace, small text messages, silence about what strangers send."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import engineio  # type: ignore[import-untyped]  # the library has no types
import socketio

from app.live.handshake import kept

NAMESPACE: Final = "/image-progress"
MAX_MESSAGE_BYTES: Final = 16 * 1024
"""What a client may send at once: a token and an id are far shorter."""
EVENTS: Final = frozenset({"subscribe", "unsubscribe"})
OWN_SESSION: Final = "darkroom.session"
"""Where the scope of a session's first request holds it."""
MAX_UNREAD: Final = 256
"""With so much in its queue a session is cut before it is answered anything more."""
STRANGER_PACKETS: Final = 8
"""What a session may send before it is in the namespace: a handshake or two, and a pong."""
MAX_PACKETS: Final = 500
PACKETS_SECONDS: Final = 10.0
"""A session that sends more packets than that in so many seconds is cut: each may cost a look into Redis."""
MAX_NAMESPACE_LENGTH: Final = 64
"""The refusal of a namespace repeats its name."""

Welcome = Callable[[str], Awaitable[None]]


def socket_server(welcome: Welcome) -> Any:
    """A server without handlers. Its origins are not checked, nor its headers set: the application does both.

    `welcome` is called with the name of a socket that has just been told that it is in the namespace.
    """
    return _Server(
        welcome,
        async_mode="asgi",
        namespaces=[NAMESPACE],
        serializer=Packet,
        async_handlers=False,  # one event of a socket after the other: a flood of them waits in its own connection
        cors_allowed_origins=[],
        http_compression=False,
        max_http_buffer_size=MAX_MESSAGE_BYTES,
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


class _Server(socketio.AsyncServer):  # type: ignore[misc]  # the library has no types
    """The library's server, with a door in each session, which forgets a session the moment it has ended."""

    def __init__(self, welcome: Welcome, **told: Any) -> None:
        super().__init__(**told)
        self._welcome = welcome

    def in_namespace(self, session: str) -> str | None:
        """The name of the session's socket; None: it is a stranger's."""
        sid: str | None = self.manager.sid_from_eio_sid(session, NAMESPACE)
        return sid if sid is not None and self.manager.is_connected(sid, NAMESPACE) else None

    def forget_lost(self) -> None:
        """Of a session that ended while its handshake was looked at, the library keeps the socket."""
        for sid, session in list(self.manager.get_participants(NAMESPACE, None)):
            if session not in self.eio.sockets:
                self.manager.basic_disconnect(sid, NAMESPACE)

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, {"asgi.scope": kept(environ["asgi.scope"])})
        session = self.eio.sockets[eio_sid]
        session.receive = _Door(session, self.in_namespace).receive
        environ["asgi.scope"][OWN_SESSION] = session

    async def _handle_eio_disconnect(self, eio_sid: str, reason: object) -> None:
        await super()._handle_eio_disconnect(eio_sid, reason)
        self.eio.sockets.pop(eio_sid, None)

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: object) -> None:
        await super()._handle_connect(eio_sid, namespace, data)
        sid = self.in_namespace(eio_sid)
        if sid is not None and namespace == NAMESPACE:
            await self._welcome(sid)


class _Door:
    """Every packet of a session comes through here before anything is done about it, or made to answer it."""

    def __init__(self, session: Any, in_namespace: Callable[[str], str | None]) -> None:
        self._session = session
        self._in_namespace = in_namespace
        self._act = session.receive
        self._as_stranger = 0
        self._since = 0.0
        self._lately = 0

    async def receive(self, packet: Any) -> None:
        """Act on it, or cut the session. Raises `SocketIsClosedError`, at which the library lets a websocket go."""
        session = self._session
        if not session.closed and self._has_too_much():
            await cut(session)
        if not session.closed:
            await self._act(packet)
        elif session.upgraded:  # of a post the rest is passed over: the library has no answer for the exception
            raise engineio.exceptions.SocketIsClosedError

    def _has_too_much(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._since > PACKETS_SECONDS:
            self._since, self._lately = now, 0
        self._lately += 1
        if self._in_namespace(self._session.sid) is None:
            self._as_stranger += 1
        unread = self._session.queue.qsize()
        return self._lately > MAX_PACKETS or self._as_stranger > STRANGER_PACKETS or unread >= MAX_UNREAD


class Packet(socketio.packet.Packet):  # type: ignore[misc]  # the library has no types
    """A client's packet. Attachments are not taken, and names that are not ours (`disconnect`, too) are ignored."""

    data: Any

    def decode(self, encoded_packet: Any) -> int:
        """Read it. Raises `ValueError`, which the library takes for a bad packet."""
        attachments: int = super().decode(encoded_packet)
        if self.packet_type in {socketio.packet.BINARY_EVENT, socketio.packet.BINARY_ACK}:
            raise ValueError("attachments are not taken")
        if len(self.namespace or "") > MAX_NAMESPACE_LENGTH:
            raise ValueError("there is no such namespace")
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
