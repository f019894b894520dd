"""Clients that make a socket's process keep or do more and more: each is cut, and others go on hearing their own."""

import asyncio
import base64
import contextlib
import json
import socket
import time
from pathlib import Path

import httpx
import pytest
import websockets

from app.live.socketio_server import MAX_PACKETS, STRANGER_PACKETS
from tests.acceptance.conftest import JOBS, MUG
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway, token
from tests.neighbours.redis_server import running_redis
from tests.neighbours.socket_client import listening

pytestmark = pytest.mark.anyio
SLOW = {**MUG, "prompt": "[delay=2] A slow mug"}
POLLING = "/socket.io/?EIO=4&transport=polling"
CONNECT = f'40/image-progress,{{"token":"{token("acme")}"}}'
REFUSED = '40/image-progress,{"token":"no token"}'
ASKED = f'42/image-progress,7["subscribe",{{"job_id":"{"j" * 600}"}}]'
KEY = base64.b64encode(bytes(16)).decode()
HEAD = f"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}"
UPGRADE = f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n{HEAD}\r\n\r\n".encode()
MOST_GROWTH = 60
"""MiB: an unbounded flood of some seconds takes hundreds."""


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, DARKROOM_STREAMS="8") as running:
        yield running


@contextlib.asynccontextmanager
async def others_hear(gateway):
    """Somebody honest who hears of its job from before to after, and of a process that has not grown."""
    before = memory(gateway)
    async with listening(gateway.url, token("honest")) as listener:
        yield
        async with gateway.async_client("honest") as client:
            job_id = (await client.post(JOBS, json=MUG)).json()["data"]["id"]
        await listener.until("completed", job_id)
    assert memory(gateway) - before < MOST_GROWTH


def memory(gateway):
    lines = Path(f"/proc/{gateway.api.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))


class Poller:
    """A session that polls by hand."""

    def __init__(self, client):
        self._client = client

    async def open(self, *packets):
        answer = await self._client.get(POLLING)
        self.url = f"{POLLING}&sid={json.loads(answer.text[1:])['sid']}"
        for packet in packets:
            assert (await self.post(packet)).is_success
            assert (await self.poll()).text.startswith('40/image-progress,{"sid"')
        return self

    def post(self, *packets):
        return self._client.post(self.url, content="\x1e".join(packets))

    def poll(self):
        return self._client.get(self.url)

    async def posts_until_cut(self, *packets, most):
        """How many posts were taken before the session was gone."""
        for count in range(most):
            if (await self.post(*packets)).status_code == 400:
                return count
        raise AssertionError(f"{most} posts were taken")


def stream(gateway):
    """A websocket whose client reads only what it asks for."""
    url = f"{gateway.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket"
    return websockets.connect(url, proxy=None, max_queue=1)


async def flooded(link, packet, seconds=20):
    """Send without reading, until the connection ends."""
    link.transport.pause_reading()
    async with asyncio.timeout(seconds):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await link.send(packet)


@pytest.mark.parametrize("packet", [ASKED, "40/image-progress", "40/other", "5"], ids=["ack", "again", "other", "noop"])
async def test_a_session_that_posts_and_never_polls_is_cut(gateway, packet):
    async with others_hear(gateway), gateway.async_client() as client:
        poller = await Poller(client).open(CONNECT)
        taken = await poller.posts_until_cut(*[packet] * 12, "3", most=30)

    assert 13 * taken < MAX_PACKETS  # it was for what it did not read


async def test_a_websocket_that_is_never_read_is_cut(gateway):
    async with others_hear(gateway), stream(gateway) as link:
        await link.recv()
        await link.send(CONNECT)
        await link.recv()
        await flooded(link, ASKED)


@pytest.mark.parametrize("packet", [REFUSED, "40/" + "n" * 10_000, "3", "5", ASKED])
async def test_a_stranger_is_cut_soon_by_whatever_it_goes_on_to_send(gateway, packet):
    async with others_hear(gateway), httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        poller = await Poller(client).open()
        taken = await poller.posts_until_cut(packet, most=STRANGER_PACKETS + 3)
        async with stream(gateway) as link:
            await flooded(link, packet)

    assert taken <= STRANGER_PACKETS + 1


async def test_a_websocket_that_reads_and_sends_without_end_is_cut(gateway):
    async with others_hear(gateway), stream(gateway) as link:
        await link.recv()
        await link.send(CONNECT)
        answered = 0
        with contextlib.suppress(websockets.ConnectionClosed):
            for _ in range(2 * MAX_PACKETS):
                await link.send('42/image-progress,7["unsubscribe",{"job_id":"x"}]')
                await link.recv()
                answered += 1

    assert 100 < answered <= MAX_PACKETS + 2


def frame(opcode, data=b"", *, fin=True):
    return bytes([0x80 * fin | opcode, 0x80 | len(data)]) + bytes(4) + data


@pytest.mark.parametrize(
    ("first", "then"),
    [(b"", frame(9, b"p" * 125)), (frame(1, fin=False), frame(0, fin=False)), (b"", frame(1, b"3"))],
    ids=["pings", "empty fragments", "small messages"],
)
async def test_frames_without_end_are_cut_below_the_packets(gateway, first, then):
    def flood():
        with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), timeout=10) as link:
            link.sendall(UPGRADE)
            while b"0{" not in link.recv(4096):
                pass
            link.sendall(first)
            began = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while time.monotonic() - began < 30:
                    link.sendall(then * 100)
            return time.monotonic() - began

    async with others_hear(gateway):
        assert await asyncio.to_thread(flood) < 30


HANDSHAKES = {
    "a length": (UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 999\r\n\r\n"), 400),
    "an encoding": (UPGRADE.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
    "a long header": (UPGRADE.replace(b"\r\n\r\n", b"\r\nX-Long: " + b"x" * 9_000 + b"\r\n\r\n"), 431),
    "many headers": (UPGRADE.replace(b"\r\n\r\n", b"\r\nX: y" * 200 + b"\r\n\r\n"), 431),
    "a long address": (UPGRADE.replace(b" HTTP", b"&" + b"x" * 9_000 + b" HTTP"), 414),
}


@pytest.mark.parametrize(("handshake", "status"), HANDSHAKES.values(), ids=HANDSHAKES)
async def test_a_handshake_that_cannot_be_read_is_answered_and_its_connection_ends(gateway, handshake, status):
    def told():
        with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), timeout=10) as link:
            link.sendall(handshake)
            said = b""
            while piece := link.recv(4096):
                said += piece
            return int(said[9:12])

    assert await asyncio.to_thread(told) == status


async def test_a_session_has_few_requests_at_a_time_and_lives(gateway):
    async with gateway.async_client() as client:
        poller = await Poller(client).open(CONNECT)
        polls = [asyncio.create_task(poller.poll()) for _ in range(5)]
        async with asyncio.timeout(20):
            while sum(poll.done() for poll in polls) < 2:  # noqa: ASYNC110  # tasks have no event for two of them
                await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        done, waiting = await asyncio.wait(polls, timeout=0)
        refused = [poll.result() for poll in done]
        assert (await poller.post("42/image-progress,1[]")).status_code in {200, 429}
        for poll in waiting:
            poll.cancel()

    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in refused] == [
        (429, "TOO_MANY_STREAMS")
    ] * 2


async def test_strangers_who_say_nothing_make_room_for_who_comes(gateway):
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        for _ in range(30):
            assert (await client.get(POLLING)).status_code == 200
        async with others_hear(gateway):
            pass


async def test_a_session_goes_over_to_one_websocket_and_polls_on_when_that_fails(gateway):
    async with gateway.async_client() as client:
        poller = await Poller(client).open(CONNECT)
        url = f"{gateway.url.replace('http', 'ws')}{poller.url.replace('polling', 'websocket')}"
        async with websockets.connect(url, proxy=None):
            with pytest.raises(websockets.InvalidStatus):
                async with websockets.connect(url, proxy=None):
                    pass
        await asyncio.sleep(0.5)
        await poller.post('42/image-progress,7["unsubscribe",{"job_id":"x"}]')
        answers = (await poller.poll()).text

    assert "43/image-progress,7" in answers


def streams(client):
    return client.get("/api/v1/stats").json()["data"]["here"]["streams"]


@pytest.mark.parametrize("nonsense", ["x", "", "4" + "[" * 10_000, b""])
async def test_a_session_ends_with_a_websocket_that_ends_by_nonsense(gateway, nonsense, capfd):
    """The slots are eight: nine such sessions would fill them."""
    with gateway.client() as client:
        before = streams(client)
    for _ in range(9):
        async with stream(gateway) as link:
            await link.send(CONNECT)
            await link.send(nonsense)
            link.transport.resume_reading()
            with contextlib.suppress(TimeoutError, websockets.ConnectionClosed):
                async with asyncio.timeout(0.5):
                    async for _ in link:
                        pass
    with gateway.client() as client:
        wait_until(lambda: streams(client) <= before, 5, "room")

    assert "Traceback" not in capfd.readouterr().err
