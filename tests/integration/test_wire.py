"""Websockets whose clients stop to read, on a real port; and what the library keeps of sessions that have gone."""

import asyncio
import contextlib
import socket
import time

import pytest
import uvicorn
import websockets

from app.live.socketio_server import NAMESPACE, socket_server
from app.server.websocket import BoundedWebSocket
from tests.neighbours import free_port

pytestmark = pytest.mark.anyio
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MUCH = "x" * (16 * 1024 * 1024)


@contextlib.asynccontextmanager
async def served(app):
    """The application on a port; its websockets are cut when they stall for a second."""
    quick = type("Quick", (BoundedWebSocket,), {"stall_seconds": 1})
    config = uvicorn.Config(app, port=free_port(), ws=quick, ws_ping_interval=None, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110  # a flag of the library's
            await asyncio.sleep(0.02)
    yield f"ws://127.0.0.1:{config.port}", server
    server.should_exit = True
    await serving


async def write_much(_, send):
    await send({"type": "websocket.send", "text": MUCH})
    with contextlib.suppress(OSError):
        await send({"type": "websocket.send", "text": MUCH})


async def leave_a_little(server, send):
    """Less than what makes the server wait."""
    (connection,) = server.server_state.connections
    while not connection.transport.get_write_buffer_size():
        await send({"type": "websocket.send", "text": MUCH[:1024]})


@pytest.mark.parametrize("act", [write_much, leave_a_little])
async def test_a_client_that_reads_nothing_is_cut(act):
    async def app(_, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await act(server, send)

    async with served(app) as (url, server):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as link:
            link.sendall(UPGRADE)
            async with asyncio.timeout(20):
                while not server.server_state.connections:  # noqa: ASYNC110  # a set has no event
                    await asyncio.sleep(0.02)
                begun = time.monotonic()
                while server.server_state.connections:  # noqa: ASYNC110  # a set has no event
                    await asyncio.sleep(0.02)

    assert time.monotonic() - begun > 0.2


async def test_a_client_that_reads_slowly_is_not_cut():
    async def app(_, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(4):
            await send({"type": "websocket.send", "text": MUCH})

    async with served(app) as (url, _), websockets.connect(url, max_size=None, proxy=None, max_queue=1) as link:
        for _ in range(4):
            await asyncio.sleep(0.4)
            assert len(await link.recv()) == len(MUCH)


async def called(server, method, query, body=b""):
    """What a request without a port is answered."""
    sent = []
    scope = {"type": "http", "method": method, "path": "/socket.io/", "query_string": query.encode()}
    scope["headers"] = [(b"content-length", str(len(body)).encode()), (b"cookie", b"c" * 10_000)]

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        sent.append(message)

    await server.handle_request(scope, receive, send)
    return sent[0]["status"], sent[1]["body"].decode()


async def test_nothing_is_kept_of_a_session_that_has_ended_whatever_came_after_its_end():
    looking, looked = asyncio.Event(), asyncio.Event()

    async def look(*_):
        looking.set()
        await looked.wait()

    server = socket_server(look)
    server.on("connect", look, namespace=NAMESPACE)
    begun = "EIO=4&transport=polling"
    ended = f"{begun}&sid={(await called(server, 'GET', begun))[1][9:29]}"
    asked = f"{begun}&sid={(await called(server, 'GET', begun))[1][9:29]}"
    after_its_end = await called(server, "POST", ended, b"1\x1e40/image-progress")
    handshake = asyncio.create_task(called(server, "POST", asked, b"40/image-progress"))
    await looking.wait()
    kept = str(server.environ)
    assert (await called(server, "POST", asked, b"1"))[0] == 200
    looked.set()
    await handshake
    left = len(list(server.manager.get_participants(NAMESPACE, None)))
    server.forget_lost()
    await server.shutdown()

    assert after_its_end[0] == 200
    assert "c" * 100 not in kept
    assert left == 1
    assert not server.eio.sockets
    assert not server.environ
    assert not list(server.manager.get_participants(NAMESPACE, None))
    assert not server.manager.pending_connect
