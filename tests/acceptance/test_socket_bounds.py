"""What a socket may cost: how many there are, how long they live, what they may send, and what of them is written."""

import asyncio
import time

import pytest
import websockets

from app.auth.recheck import RECHECK_SECONDS
from app.live.socketio_server import MAX_MESSAGE_BYTES
from app.server.process import GRACE_SECONDS
from tests.acceptance.conftest import JOBS, MUG
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway, token
from tests.neighbours.socket_client import listening

pytestmark = pytest.mark.anyio
SLOW = {**MUG, "prompt": "[delay=3] A slow mug"}
REFUSED = "One or more namespaces failed to connect"


@pytest.fixture
def gateway(redis_url, shared_simulator):
    told = {"DARKROOM_STREAMS": "3", "DARKROOM_BODY_SECONDS": "1", "DARKROOM_HEADER_SECONDS": "1"}
    with running_gateway(redis_url, shared_simulator, workers=0, **told) as gateway:
        yield gateway


def raw(gateway, *packets):
    """A connection that speaks Engine.IO by hand, once it is in the namespace."""
    return _Raw(f"{gateway.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket", packets)


class _Raw:
    def __init__(self, url, packets):
        self._connecting = websockets.connect(url, proxy=None)
        self._packets = packets

    async def __aenter__(self):
        self._socket = await self._connecting.__aenter__()
        await self._socket.recv()
        await self._socket.send(f'40/image-progress,{{"token":"{token("acme")}"}}')
        assert (await self._socket.recv()).startswith('40/image-progress,{"sid"')
        for packet in self._packets:
            await self._socket.send(packet)
        return self._socket

    async def __aexit__(self, *problem):
        await self._connecting.__aexit__(*problem)


def stats(gateway):
    with gateway.client() as client:
        return client.get("/api/v1/stats").json()["data"]["here"]


async def freed(gateway):
    await asyncio.to_thread(wait_until, lambda: not stats(gateway)["streams"], 5, "room")


async def test_sockets_count_as_streams_and_the_next_is_told_that_there_is_no_room(gateway):
    async with (
        listening(gateway.url, token("acme")),
        listening(gateway.url, token("other")),
        listening(gateway.url, token("third")),
    ):
        counted = stats(gateway)["streams"]
        with pytest.raises(Exception, match="Connection error"):
            async with listening(gateway.url, token("fourth")):
                pass
        with gateway.client() as client:
            polled = client.get("/socket.io/?EIO=4&transport=polling")
    await freed(gateway)
    async with listening(gateway.url, token("acme")) as listener:
        assert listener.client.connected

    assert counted == 3
    assert (polled.status_code, polled.json()["error"]["code"]) == (429, "TOO_MANY_STREAMS")


async def test_event_streams_and_sockets_share_the_room(gateway):
    with gateway.client() as client:
        job_id = client.post(JOBS, json=MUG).json()["data"]["id"]
        async with (
            listening(gateway.url, token("other")),
            listening(gateway.url, token("third")),
            listening(gateway.url, token("fourth")),
        ):
            refused = client.get(f"/v1/images/progress/{job_id}")

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_streams")


async def test_a_socket_outlives_the_deadlines_of_a_request(gateway):
    async with listening(gateway.url, token("acme")) as listener:
        await asyncio.sleep(2.5)
        with gateway.client() as client:
            job_id = client.post(JOBS, json=MUG).json()["data"]["id"]
        heard = await listener.until("progress", job_id)

    assert heard


async def test_a_hundred_jobs_can_be_subscribed_to_and_room_is_made_by_leaving_one(gateway):
    with gateway.client() as client:
        ids = [client.post(JOBS, json=MUG).json()["data"]["id"] for _ in range(101)]
    async with listening(gateway.url, token("acme", sub="another")) as listener:
        answers = [await listener.subscribe(job_id=job_id) for job_id in ids]
        await listener.unsubscribe(job_id=ids[0])
        again = await listener.subscribe(job_id=ids[100])

    assert [answer["ok"] for answer in answers] == [True] * 100 + [False]
    assert answers[100]["error"]["code"] == "INVALID_INPUT"
    assert again["ok"]


@pytest.mark.parametrize(
    "packets",
    [
        ['42/image-progress,["disconnect"]'],
        ['42/image-progress,["connect",{"asgi.scope":{}},{"token":"x"}]'],
        ['42/image-progress,["unheard of",1]', '42/image-progress,[["subscribe"]]', "42/image-progress,{}"],
        ['451-/image-progress,["subscribe",{"_placeholder":true,"num":0}]', b"x"],
        ['49999999999-/image-progress,["subscribe"]'],
        ["4", "9", "42", "42/image-progress," + "[" * 10_000],
    ],
    ids=["disconnect", "connect", "unknown", "attachment", "many attachments", "nonsense"],
)
async def test_what_nobody_should_send_is_ignored_and_the_socket_goes_on(gateway, packets):
    async with raw(gateway, *packets) as socket:
        await socket.send('42/image-progress,7["subscribe",{"job_id":"job_' + "0" * 30 + '"}]')
        answer = await asyncio.wait_for(socket.recv(), 20)

        assert answer.startswith('43/image-progress,7[{"ok":false')
        assert stats(gateway)["streams"] == 1


async def test_a_message_that_is_too_large_ends_the_connection(gateway):
    async with raw(gateway) as socket:
        await socket.send('42/image-progress,["subscribe","' + "a" * MAX_MESSAGE_BYTES + '"]')
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 20)

    await freed(gateway)


async def test_who_does_not_say_who_it_is_and_whose_key_is_revoked_are_cut(gateway):
    scope = "write:image-gen read:image-gen admin:image-gen"
    with gateway.client(scope=scope) as client:
        key = client.post("/api/v1/keys", json={"name": "short-lived"}).json()["data"]
        began = time.monotonic()
        url = f"{gateway.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket"
        async with (
            websockets.connect(url, proxy=None) as stranger,
            listening(gateway.url, key["key"]) as revoked,
            listening(gateway.url, token("other")) as kept,
        ):
            assert client.delete(f"/api/v1/keys/{key['id']}").is_success
            await asyncio.wait_for(revoked.disconnected.wait(), RECHECK_SECONDS + 3)
            told = time.monotonic() - began
            async with asyncio.timeout(2 * RECHECK_SECONDS + 3):
                async for packet in stranger:  # until it is closed
                    if packet == "2":
                        await stranger.send("3")

            assert told < RECHECK_SECONDS + 3
            assert kept.client.connected
            assert not kept.disconnected.is_set()


async def test_an_api_that_stops_lets_its_sockets_go_at_once(redis_url, shared_simulator):
    with running_gateway(redis_url, shared_simulator, workers=0) as gateway:
        async with (
            listening(gateway.url, token("acme")) as listener,
            listening(gateway.url, token("acme"), transports=["polling"]) as poller,
        ):
            began = time.monotonic()
            gateway.api.terminate()
            await asyncio.wait_for(asyncio.gather(listener.disconnected.wait(), poller.disconnected.wait()), 20)
            status = await asyncio.to_thread(gateway.api.wait, 20)
            took = time.monotonic() - began

    assert took < GRACE_SECONDS
    assert status in {0, -15}


async def test_no_token_is_written_however_it_came(redis_url, shared_simulator, tmp_path):
    secret = token("acme", canary="sockets")
    with running_gateway(redis_url, shared_simulator, workers=0, logs=tmp_path, DARKROOM_LOG_LEVEL="debug") as gateway:
        ways = [{"token": secret}, {"headers": {"Authorization": f"Bearer {secret}"}}, {"headers": {"api-key": secret}}]
        for way in [*ways, {"query": f"?token={secret}"}]:
            for transports in (["websocket"], ["polling", "websocket"]):
                async with listening(gateway.url, transports=transports, **way) as listener:
                    assert listener.client.connected
        with pytest.raises(Exception, match=REFUSED):
            async with listening(gateway.url, query=f"?token={secret[:-4]}"):
                pass
    written = (tmp_path / "api.log").read_text()

    assert written.count("socket opened") == 8
    assert secret[:40] not in written
    assert "token=" not in written
