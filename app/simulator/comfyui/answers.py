"""How the server answers beside JSON, and where each route lies."""

from __future__ import annotations

import json
from typing import Any

from litestar import Response

from app.simulator.comfyui.server import Server
from app.simulator.wire import AnyRequest


def both(path: str) -> list[str]:
    """Nearly every route is there with and without `/api`."""
    return [path, f"/api{path}"]


def nothing(status: int = 200) -> Response[bytes]:
    """An empty body."""
    return Response(b"", status_code=status, media_type="application/octet-stream")


def trouble(status: int = 500) -> Response[bytes]:
    """What it did not expect."""
    return plain("500 Internal Server Error\n\nServer got itself in trouble", status)


def plain(text: str, status: int) -> Response[bytes]:
    """A text."""
    return Response(text.encode(), status_code=status, media_type="text/plain; charset=utf-8")


def server(request: AnyRequest) -> Server:
    """The one that is asked."""
    found: Server = request.app.state.comfyui
    return found


async def body(request: AnyRequest) -> Any:
    """The JSON that came, whatever it is called. Raises `ValueError` for none."""
    return json.loads(await request.body())
