"""Progress over Socket.IO: the namespace `/image-progress`, served by each process to its own sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import socketio
import structlog
from litestar import asgi
from litestar.enums import ScopeType
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from app.auth.authenticator import Headers
from app.auth.caller import READ
from app.http.rate_headers import spend
from app.live.handshake import credentials, from_allowed_page, query
from app.live.progress import Message, error_json
from app.live.sessions import Sessions
from app.live.socketio_server import MAX_UNREAD, NAMESPACE, OWN_SESSION, cut, leave, socket_server
from app.live.subscriptions import Listener, Subscriptions
from jobs.errors import DarkroomError, Forbidden, InvalidInput, NotFound, RateLimited, TooManyStreams, Unauthorized

if TYPE_CHECKING:
    from app.auth.caller import Caller
    from app.services import Services

PATH: Final = "/socket.io"
SWEEP_SECONDS: Final = 15.0
"""How often sessions are looked through: one that has not said who it is by the second time is cut."""
MAX_CONCURRENT_REQUESTS: Final = 3
"""Requests of a session at a time: a poll, a post, and one that is just being answered."""
PATIENCE_SECONDS: Final = 45.0
"""A websocket that says nothing for so long is let go, also before it belongs to a session: pings are more frequent."""
PREVIEWS_UNREAD: Final = 2
PROGRESS_UNREAD: Final = 16
ENDS_UNREAD: Final = MAX_UNREAD
"""So many messages may wait for a slow client before previews, then progress are left out, and it is cut at last."""

_log = structlog.get_logger()


class Sockets:
    """The Socket.IO server of this process. What it tells comes from `Notifier`'s news: processes need no bus."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._origins = services.settings.cors_origins
        self._subscriptions = Subscriptions(services, self._tell)
        self._sockets: dict[str, _Socket] = {}
        self._asking: Counter[str] = Counter()
        self._upgraded = 0
        self._keeper: asyncio.Task[None] | None = None
        self._server = socket_server(self._welcome)
        self._sessions = Sessions(self._server, services.settings.max_streams)
        for handler in (self._connect, self._disconnect, self._subscribe, self._unsubscribe):
            self._server.on(handler.__name__.removeprefix("_"), handler, namespace=NAMESPACE)

    async def open(self) -> None:
        """Begin to listen."""
        self._services.notifier.subscribe(self._subscriptions.on_change)
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """After `Notifier.end_waits`: the sockets are gone, nothing goes on."""
        if self._keeper is not None:
            await self._keeper
        await self._subscriptions.close()
        await self._server.shutdown()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or websocket of Engine.IO. Raises `TooManyStreams` for a session that finds no room."""
        session = query(scope).get("sid")
        full = session is None and not await self._sessions.has_room()
        if scope["type"] == ScopeType.HTTP:
            if query(scope).get("transport") == "websocket":  # the library would take it for one by its headers
                raise InvalidInput("a websocket begins with an upgrade (RFC 6455)", field="transport")
            if full:
                raise TooManyStreams("too many sockets are open here", retry_after=5)
            await self._request(session, scope, receive, send)
        elif full or not self._may_open(session) or not from_allowed_page(scope, self._origins):
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        else:
            await self._websocket(session, scope, receive, send)

    def _may_open(self, name: str | None) -> bool:
        """Whether there is room for a websocket: one of a new session, or the one that a session goes over to."""
        session = self._server.eio.sockets.get(name)
        over = session is None or session.upgrading or session.upgraded
        return self._upgraded < self._sessions.limit and (name is None or not over)

    async def _request(self, name: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        if name is None or name not in self._server.eio.sockets:
            await self._server.handle_request(scope, receive, send)
            return
        if self._asking[name] >= MAX_CONCURRENT_REQUESTS:
            raise TooManyStreams("a session asks for one thing after the other", retry_after=1)
        self._asking[name] += 1
        try:
            await self._server.handle_request(scope, receive, send)
        finally:
            self._asking[name] -= 1
            if not self._asking[name]:
                del self._asking[name]

    async def _websocket(self, name: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        async def heard() -> Any:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    return await receive()
            except TimeoutError:
                return {"type": "websocket.disconnect", "code": 1001}

        self._upgraded += 1
        try:
            await self._server.handle_request(scope, heard, send)
        except (ValueError, RecursionError):
            _log.info("websocket ended by nonsense")
        finally:
            self._upgraded -= 1
            session = scope.get(OWN_SESSION) or self._server.eio.sockets.get(name)
            await self._without_websocket(session)

    async def _without_websocket(self, session: Any) -> None:
        """A session ends with its websocket; one that did not get so far goes on to poll."""
        if session is None or session.closed:
            return
        if session.upgraded:
            await cut(session)
        session.upgrading = False

    async def _connect(self, sid: str, environ: Mapping[str, Any], auth: object) -> None:
        """Raises `socketio`'s refusal, whose message the client reads as `connect_error`."""
        headers = credentials(environ["asgi.scope"], auth)
        try:
            caller = await self._services.authenticator.caller(headers)
            if caller.key is not None:
                await spend(environ["asgi.scope"], self._services.rates, caller.key)
            caller.require(READ)
            session = self._server.manager.eio_sid_from_sid(sid, NAMESPACE)
            self._sockets[sid] = socket = self._opened(_Socket(sid, caller, session), headers)
        except (Unauthorized, Forbidden) as error:
            raise socketio.exceptions.ConnectionRefusedError("unauthorized", error_json(error)) from None
        except RateLimited as error:
            raise socketio.exceptions.ConnectionRefusedError("rate limited", error_json(error)) from None
        except DarkroomError as error:
            raise socketio.exceptions.ConnectionRefusedError(error.message, error_json(error)) from None
        self._subscriptions.join(socket)
        _log.info("socket opened", org=caller.org, how=caller.how)

    def _opened(self, socket: _Socket, headers: Headers) -> _Socket:
        """The socket, which counts among the streams, and ends when its credential does. Raises `TooManyStreams`."""

        async def end() -> None:
            await self._server.disconnect(socket.name, namespace=NAMESPACE)

        socket.held.enter_context(self._services.streams.held(socket.org, socket.subject))
        socket.held.enter_context(self._services.rechecks.watched(headers, end))
        return socket

    async def _welcome(self, sid: str) -> None:
        """Tell a socket that has just connected how its own jobs stand, as far as that is known here."""
        socket = self._sockets.get(sid)
        if socket is not None and not socket.welcomed:
            socket.welcomed = True
            for message in self._subscriptions.followed(socket):
                await self._tell([socket], message)

    def _disconnect(self, sid: str, reason: object) -> None:
        socket = self._sockets.pop(sid, None)
        if socket is None:
            return
        socket.held.close()
        self._subscriptions.leave(socket)
        session = self._server.eio.sockets.get(socket.session)
        if session is not None and reason == self._server.reason.CLIENT_DISCONNECT:
            leave(session)

    async def _subscribe(self, sid: str, *said: object) -> dict[str, Any]:
        socket = self._sockets[sid]
        try:
            message = await self._subscriptions.subscribe(socket, self._named(socket, said))
        except DarkroomError as error:
            return {"ok": False, "error": error_json(error)}
        return {"ok": True, "event": message.name, "data": message.data}

    def _unsubscribe(self, sid: str, *said: object) -> dict[str, Any]:
        socket = self._sockets[sid]
        try:
            job_id = self._named(socket, said)
        except DarkroomError as error:
            return {"ok": False, "error": error_json(error)}
        self._subscriptions.unsubscribe(socket, job_id)
        return {"ok": True}

    def _named(self, socket: Listener, said: Sequence[object]) -> str:
        """The job that a message names, by itself or by the request that asked for it."""
        match said:
            case [{"job_id": str(job_id)}]:
                return job_id
            case [{"request_id": str(request_id)}]:
                found = self._subscriptions.job_of_request(socket.org, request_id)
                if found is None:
                    message = "nothing was heard of this request here: your own jobs need no subscription"
                    raise NotFound(f"{message}, and others are found by job_id", field="request_id")
                return found
        raise InvalidInput('must be {"job_id": …} or {"request_id": …}', field="job_id")

    async def _tell(self, listeners: Sequence[Listener], message: Message) -> None:
        """Put a message into the queue of each socket that keeps up; it is encoded once."""
        names = []
        for listener in listeners:
            socket = self._sockets.get(listener.name)
            session = None if socket is None else self._sessions.named(socket.session)
            if session is None:  # it has gone
                continue
            unread = session.queue.qsize()
            if message.last and unread >= ENDS_UNREAD:
                await cut(session)
            elif unread < (ENDS_UNREAD if message.last else _room(message)):
                names.append(listener.name)
        if names:
            await self._server.emit(message.name, message.data, to=names, namespace=NAMESPACE)

    async def _keep(self) -> None:
        """Until the process stops: look after the sockets. Then let all go, so that they come back elsewhere."""
        while not await self._services.notifier.closes_within(SWEEP_SECONDS):
            try:
                await self._sweep()
            except Exception:  # noqa: BLE001  # the next round is due whatever went wrong in this one
                _log.exception("sockets not looked after")
        await self._sessions.cut_all()

    async def _sweep(self) -> None:
        """Forget sockets whose session has gone, and cut sessions that have not said who they are since last time."""
        sessions = self._server.eio.sockets
        for sid in [sid for sid, socket in self._sockets.items() if socket.session not in sessions]:
            self._disconnect(sid, None)
        self._server.forget_lost()
        await self._sessions.cut_strangers({socket.session for socket in self._sockets.values()})


class _Socket(Listener):
    def __init__(self, sid: str, caller: Caller, session: str) -> None:
        super().__init__(sid, caller.org, caller.subject)
        self.subject = caller.subject
        self.session = session
        self.held = ExitStack()
        self.welcomed = False


def mounted(sockets: Sockets) -> ASGIRouteHandler:
    """The route of Engine.IO's requests and websockets."""

    @asgi(PATH, is_mount=True, copy_scope=True)
    async def socket_io(scope: Scope, receive: Receive, send: Send) -> None:
        await sockets(scope, receive, send)

    return socket_io


def _room(message: Message) -> int:
    return PREVIEWS_UNREAD if "preview_url" in message.data else PROGRESS_UNREAD
