"""The API process: uvicorn with our bounds, which ends its waits the moment it is told to stop."""

from __future__ import annotations

import asyncio
import gc
from types import FrameType
from typing import Any, Final

import uvicorn

from app.live.socketio_server import MAX_MESSAGE_BYTES
from app.main import create_app
from app.server.http import bounded
from app.server.websocket import BoundedWebSocket
from jobs.settings import Settings

MAX_CONNECTIONS: Final = 4_000
"""Beyond this a request is answered 503 at once; a process that waits for 2,000 pictures is well below."""
GRACE_SECONDS: Final = 5
"""What requests under way get after SIGTERM; a wait is answered at once."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    server(settings).run()


def server(settings: Settings) -> uvicorn.Server:
    """The API's server, which does not listen yet."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
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
    return _Server(config, app.state.services.notifier.end_waits)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_exit: Any) -> None:
        super().__init__(config)
        self._on_exit = on_exit
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: Any = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is here by now stays: to look through it again and again took 80 ms of everybody's time

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A wait is not the job: whoever waits gets the pointer now, and the job goes on."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_exit)
        super().handle_exit(sig, frame)
