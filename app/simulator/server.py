"""The far ends as one small server: its own controls under `/_simulator/`."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import uvicorn
from litestar import Litestar, Response, get, post
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct

from app.simulator import automatic1111, gemini, openai_edits, openai_images
from app.simulator.comfyui import routes as comfyui
from app.simulator.comfyui.classes import CHECKPOINTS
from app.simulator.comfyui.server import Server as ComfyUI
from app.simulator.faults import Bench
from app.simulator.wire import CUT_HERE, AnyRequest, Cut, answer, bench


class Simulator(Struct, frozen=True):
    """A running simulator: its address, and its state when it runs in this process."""

    url: str
    bench: Bench


def create_simulator(desk: Bench) -> ASGIApp:
    """The server; cuts the connection where a fault asks for it."""
    app = Litestar(
        route_handlers=[
            *openai_images.handlers,
            *openai_edits.handlers,
            *gemini.handlers,
            comfyui.router,
            *automatic1111.handlers,
            state,
            calls,
            control,
            reset,
        ],
        state=State({"bench": desk, "comfyui": ComfyUI(desk, CHECKPOINTS), "webui": automatic1111.WebUI()}),
        request_max_body_size=200 * 1024 * 1024,
        openapi_config=None,
        logging_config=None,
        exception_handlers={Cut: _cut},
    )
    return _cutting(app)


@get("/_simulator/state")
async def state(request: AnyRequest) -> Response[bytes]:
    """Delay and counters of calls."""
    return answer(bench(request).state())


@get("/_simulator/calls")
async def calls(request: AnyRequest) -> Response[bytes]:
    """The journal; `?prompt=` filters by a part of the prompt."""
    return answer(bench(request).calls(request.query_params.get("prompt", "")))


@post("/_simulator/controls", status_code=200)
async def control(request: AnyRequest) -> Response[bytes]:
    """Set `delay` and `jitter`, in seconds, and `rate`, the calls that are served in a second (0: all)."""
    told: dict[str, Any] = await request.json()
    desk = bench(request)
    desk.delay, desk.jitter = float(told.get("delay", desk.delay)), float(told.get("jitter", desk.jitter))
    desk.rate = int(told.get("rate", desk.rate))
    return answer(desk.state())


@post("/_simulator/reset", status_code=200)
async def reset(request: AnyRequest) -> Response[bytes]:
    """Forget every call."""
    bench(request).reset()
    return answer(bench(request).state())


@contextlib.contextmanager
def running_simulator(delay: float = 0.0) -> Iterator[Simulator]:
    """A simulator in a thread of this process, on a free port of loopback."""
    desk = Bench(delay)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_simulator(desk), log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield Simulator(f"http://127.0.0.1:{listener.getsockname()[1]}", desk)
        finally:
            server.should_exit = True
            thread.join(10)


_CUT: Final = b"x-darkroom-cut"


def _cut(_: AnyRequest, __: Cut) -> Response[bytes]:
    return Response(b"", status_code=200, headers={_CUT.decode(): "1"})


def _cutting(app: ASGIApp) -> ASGIApp:
    """Wraps the app so that an order, or its answer midway, can be cut: the socket is reset."""

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        cut = False

        async def unless_cut(message: Message) -> None:
            nonlocal cut
            if message["type"] == "http.response.start" and any(k == _CUT for k, _ in message["headers"]):
                cut = True
                # ASGI has no word for this; uvicorn's `receive` is a method of the request's own cycle.
                receive.__self__.transport.abort()  # type: ignore[attr-defined]  # uvicorn hands out its own method
            if message["type"] == "http.response.body" and message.get("body") == CUT_HERE:
                cut = True
                receive.__self__.transport.abort()  # type: ignore[attr-defined]  # uvicorn hands out its own method
            if not cut:
                await send(message)

        async def unless_killed(message: Message) -> None:
            if message["type"] == "websocket.close" and message.get("code") == comfyui.KILLED:
                receive.__self__.transport.abort()  # type: ignore[attr-defined]  # uvicorn hands out its own method
                return
            await send(message)

        await app(scope, receive, unless_cut if scope["type"] == ScopeType.HTTP else unless_killed)

    return server
