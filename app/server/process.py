"""The API process: uvicorn with our bounds, which ends its waits the moment it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import socket
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn

from app.http.head import HeadByGet
from app.live.socketio_server import MAX_MESSAGE_BYTES
from app.live.sockets import PATH as SOCKET_IO
from app.main import create_app
from app.server.http import bounded
from app.server.websocket import BoundedWebSocket
from jobs.errors import ConfigurationError
from jobs.settings import Settings
from jobs.shutdown import Shutdown

MAX_CONNECTIONS: Final = 4_000
"""Beyond this a request is answered 503 at once; a process that waits for 2,000 pictures is well below."""
GRACE_SECONDS: Final = 5
"""What requests under way get after SIGTERM; a wait is answered at once."""
_ABOUT_THE_PORT: Final = {errno.EADDRINUSE, errno.EACCES}


def serve(settings: Settings, shutdown: Shutdown) -> None:
    """Serve until SIGTERM or SIGINT. Raises `ConfigurationError` when the port is taken."""
    api = server(settings)
    listeners = _listeners(settings.host, settings.port)
    shutdown.within(GRACE_SECONDS, api.end)
    api.run(listeners)


def server(settings: Settings) -> ApiServer:
    """The API's server, which does not listen yet."""
    app = create_app(settings)
    config = uvicorn.Config(
        HeadByGet(app, apart=SOCKET_IO),
        host=settings.host,
        port=settings.port,
        http=bounded(settings.header_seconds, settings.body_seconds, settings.send_seconds),
        ws=BoundedWebSocket,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        limit_concurrency=MAX_CONNECTIONS,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return ApiServer(config, app.state.services.notifier.end_waits)


class ApiServer(uvicorn.Server):
    """uvicorn, which leaves the signals to `Shutdown`, and ends the waits before it stops."""

    def __init__(self, config: uvicorn.Config, end_waits: Callable[[], None]) -> None:
        super().__init__(config)
        self._end_waits = end_waits
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is here by now stays: to look through it again and again took 80 ms of everybody's time

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are heard already."""
        yield

    def end(self) -> None:
        """A wait is not the job: whoever waits gets the pointer now, and the job goes on."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end_waits)


def _listeners(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of the host; who connects before the API has begun waits for it."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        addresses = dict.fromkeys((family, address) for family, *_, address in found)
        return [socket.create_server(address, family=family) for family, address in addresses]
    except OSError as error:
        name, example = ("DARKROOM_PORT", 8001) if error.errno in _ABOUT_THE_PORT else ("DARKROOM_HOST", "127.0.0.1")
        why = str(error.strerror).partition(" (")[0]
        raise ConfigurationError(f"{name}: cannot listen on {host}:{port}: {why}; e.g. {example}") from None
