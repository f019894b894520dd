"""The server's routes and its sockets, shut to pages of other origins as on any loopback address."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import urllib.parse
import uuid
from typing import Any, Final

from litestar import Request, Response, Router, WebSocket, websocket
from litestar.connection import ASGIConnection
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import BaseRouteHandler

from app.simulator.comfyui import about, jobs, pictures, prompts
from app.simulator.comfyui.answers import both, nothing
from app.simulator.comfyui.server import Server

KILLED: Final = 1006
"""The code of a socket whose connection was cut: no close frame can say it."""


@websocket(both("/ws"))
async def listen(socket: WebSocket[Any, Any, Any]) -> None:
    """Frames of the client's own runs, and how many wait."""
    comfy: Server = socket.app.state.comfyui
    client_id = socket.query_params.get("clientId") or uuid.uuid4().hex
    frames: asyncio.Queue[str | bytes | None] = asyncio.Queue()
    await socket.accept()
    comfy.listeners.add(client_id, frames.put_nowait)
    comfy.listeners.status(comfy.queue.remaining, client_id)
    running = comfy.queue.running
    if running is not None and running.client_id == client_id and comfy.last_node is not None:
        comfy.listeners.tell(client_id, "executing", {"node": comfy.last_node})
    sending = asyncio.create_task(_send_on(socket, frames))
    try:
        comfy.listeners.greet(client_id, _decoded(await socket.receive_data(mode="text")))
        while True:
            await socket.receive_data(mode="text")
    except WebSocketDisconnect:
        pass
    finally:
        sending.cancel()
        comfy.listeners.remove(client_id)


async def _send_on(socket: WebSocket[Any, Any, Any], frames: asyncio.Queue[str | bytes | None]) -> None:
    while (frame := await frames.get()) is not None:
        await socket.send_data(frame, mode="binary" if isinstance(frame, bytes) else "text")
    await socket.close(KILLED)


def _decoded(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


class OtherOrigin(Exception):
    """A page of another origin asks."""


def _same_origin(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    comfy: Server = connection.app.state.comfyui
    if connection.headers.get("sec-fetch-site") == "cross-site" and not comfy.old:
        raise OtherOrigin
    host, origin = connection.headers.get("host", ""), connection.headers.get("origin")
    theirs = urllib.parse.urlsplit(origin or "").netloc.lower()
    if theirs and _is_loopback(urllib.parse.urlsplit(f"//{host}").hostname or "") and theirs != host.lower():
        raise OtherOrigin


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shut(_: Request[Any, Any, Any], __: OtherOrigin) -> Response[bytes]:
    return nothing(403)


router: Final = Router(
    "/",
    route_handlers=[*prompts.handlers, *jobs.handlers, *pictures.handlers, *about.handlers, listen],
    guards=[_same_origin],
    exception_handlers={OtherOrigin: _shut},
)
