"""`/image-progress` with the clients that people have: who hears of which job, where, and how it ends."""

import asyncio
import base64
import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import JOBS, MUG
from tests.neighbours.gateway import running_gateway, token
from tests.neighbours.redis_server import running_redis
from tests.neighbours.socket_client import ENDS, listening

pytestmark = pytest.mark.anyio
JAVASCRIPT = Path(__file__).parents[1] / "clients/socketio"
SLOW = {**MUG, "prompt": "[delay=3.5] A slow mug"}
TRANSPORTS = [("websocket",), ("polling", "websocket")]


@pytest.fixture(scope="module")
def pair(shared_simulator):
    """Two API processes and a worker on one Redis."""
    with (
        running_redis() as redis,
        running_gateway(redis.url, shared_simulator, DARKROOM_CORS_ORIGINS="https://studio.example") as one,
        running_gateway(redis.url, shared_simulator, workers=0, PUBLIC_BASE_URL=one.url) as other,
    ):
        yield one, other


@pytest.fixture
def gateway(pair):
    return pair[0]


async def submitted(gateway, body=MUG, org="acme", **claims):
    def post():
        with gateway.client(org, **claims) as client:
            answer = client.post(JOBS, json=body)
            assert answer.status_code == 202, answer.text
            return answer.json()["data"]["id"]

    return await asyncio.to_thread(post)


async def canceled(gateway, job_id):
    def post():
        with gateway.client() as client:
            client.post(f"{JOBS}/{job_id}/cancel")

    await asyncio.to_thread(post)


def held(heard, job_id):
    """What every client is told of a picture that takes some seconds, of which its provider says nothing."""
    told = [data for event, data in heard if event == "progress"]
    assert {data["job_id"] for data in told} == {job_id}
    assert {(d["provider"], d["model"]) for d in told} == {("azure-openai", "gpt-image-2")}
    percents = [data["progress"] for data in told]
    assert percents == sorted(percents)
    assert all(0 <= percent < 100 for percent in percents)
    estimated = [data["progress"] for data in told if data["source"] == "estimated"]
    assert len({percent for percent in estimated if percent > 0}) >= 2
    assert {data["source"] for data in told if data["status"] == "running" and data["progress"]} == {"estimated"}
    assert [event for event, _ in heard if event != "progress"] == ["completed"]
    (picture,) = heard[-1][1]["data"]
    assert (picture["url"].startswith("http"), picture["mime_type"]) == (True, "image/png")


@pytest.mark.parametrize("transports", TRANSPORTS, ids=" then ".join)
async def test_a_caller_hears_of_its_job_from_the_queue_to_the_picture_without_asking(gateway, transports):
    async with listening(gateway.url, token("acme"), transports=transports) as listener:
        job_id = await submitted(gateway, SLOW)
        heard = await listener.until("completed", job_id)
        transport = listener.client.transport()

    assert transport == transports[-1]
    assert heard[0][1]["status"] == "queued"
    held(heard, job_id)


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], None], ids=["websocket", "polling", "default"])
async def test_the_javascript_client_hears_the_same(gateway, transports):
    async with javascript(gateway.url, token("acme"), transports=transports) as (lines, opened):
        await opened
        job_id = await submitted(gateway, SLOW)
        heard = [(line["event"], line["data"]) async for line in lines if line["event"] != "upgrade"]

    held(heard, job_id)


async def test_the_javascript_client_is_told_why_it_is_refused(gateway):
    async with javascript(gateway.url, "no token") as (lines, _):
        heard = [line async for line in lines]

    assert [(line["event"], line["data"]["message"]) for line in heard] == [("connect_error", "unauthorized")]
    assert heard[0]["data"]["data"]["code"] == "UNAUTHORIZED"


async def test_the_javascript_client_subscribes_to_a_job_of_its_org(gateway):
    job_id = await submitted(gateway, SLOW, sub="somebody else")
    async with javascript(gateway.url, token("acme"), subscribe={"job_id": job_id}) as (lines, _):
        heard = [line async for line in lines if line["event"] in {"ack", *ENDS}]

    assert [line["event"] for line in heard] == ["ack", "completed"]
    assert (heard[0]["data"]["ok"], heard[0]["data"]["data"]["job_id"]) == (True, job_id)


async def test_previews_come_with_their_bytes_before_the_picture(gateway):
    async with listening(gateway.url, token("acme")) as listener:
        job_id = await submitted(gateway, {**SLOW, "prompt": "[delay=1] A mug that takes shape", "partialImages": 2})
        heard = await listener.until("completed", job_id)
    seen = [data for _, data in heard if "preview_url" in data]

    assert [(data["n_index"], data["partial_index"]) for data in seen] == [(0, 0), (0, 1)]
    assert all(base64.b64decode(data["preview_b64"]).startswith(b"\x89PNG") for data in seen)
    assert heard[-1][0] == "completed"


async def test_a_socket_at_one_process_hears_of_a_job_that_was_submitted_at_another(pair):
    one, other = pair
    async with listening(other.url, token("acme")) as listener:
        job_id = await submitted(one, SLOW)
        heard = await listener.until("completed", job_id)

    held(heard, job_id)


async def test_nobody_hears_of_the_jobs_of_others(gateway):
    async with (
        listening(gateway.url, token("acme", sub="ann")) as ann,
        listening(gateway.url, token("acme", sub="bob")) as bob,
        listening(gateway.url, token("other", sub="ann")) as stranger,
    ):
        of_ann = await submitted(gateway, sub="ann")
        of_stranger = await submitted(gateway, org="other", sub="ann")
        refused = await stranger.subscribe(job_id=of_ann)
        unknown = await stranger.subscribe(job_id="job_" + "0" * 30)
        await ann.until("completed", of_ann)
        await stranger.until("completed", of_stranger)

    assert bob.heard == []
    assert {data["job_id"] for _, data in ann.heard} == {of_ann}
    assert {data["job_id"] for _, data in stranger.heard} == {of_stranger}
    assert (refused["ok"], refused["error"]["code"]) == (False, "NOT_FOUND")
    assert refused["error"]["message"] == unknown["error"]["message"]


async def test_who_subscribes_hears_of_a_colleagues_job_until_it_unsubscribes(gateway):
    async with listening(gateway.url, token("acme", sub="bob")) as bob:
        kept = await submitted(gateway, SLOW, sub="ann")
        left = await submitted(gateway, SLOW, sub="ann")
        answers = [await bob.subscribe(job_id=job_id) for job_id in (kept, left)]
        gone = await bob.unsubscribe(job_id=left)
        await bob.until("completed", kept)
        with_end = await bob.subscribe(job_id=kept)

    assert [(answer["ok"], answer["event"]) for answer in answers] == [(True, "progress")] * 2
    assert gone == {"ok": True}
    assert "completed" not in [event for event, _ in bob.of(left)]
    assert (with_end["event"], [event for event, _ in bob.of(kept)].count("completed")) == ("completed", 1)


async def test_who_subscribes_after_the_end_is_told_of_it_at_once_and_once(gateway):
    async with listening(gateway.url, token("acme")) as early:
        job_id = await submitted(gateway)
        await early.until("completed", job_id)
    async with listening(gateway.url, token("acme")) as late:
        answers = [await late.subscribe(job_id=job_id) for _ in range(2)]
        heard = await late.until("completed", job_id)

    assert [answer["event"] for answer in answers] == ["completed"] * 2
    assert heard == [("completed", answers[0]["data"])]


async def test_a_request_is_found_by_its_id_once_its_job_was_heard_of(gateway):
    async with listening(gateway.url, token("acme")) as listener:
        job_id = await submitted(gateway, SLOW)
        (_, first), *_ = await listener.until("progress", job_id)
        found = await listener.subscribe(request_id=first["request_id"])
        missing = await listener.subscribe(request_id="req_nobody-sent")

    assert (found["ok"], found["data"]["job_id"]) == (True, job_id)
    assert missing["error"]["details"]["field"] == "request_id"


@pytest.mark.parametrize("said", [{}, None, "job", {"job_id": 7}, [1]])
async def test_a_subscription_that_names_no_job_is_refused(gateway, said):
    async with listening(gateway.url, token("acme")) as listener:
        answer = await listener.client.call("subscribe", said, namespace="/image-progress", timeout=20)

    assert (answer["ok"], answer["error"]["code"]) == (False, "INVALID_INPUT")


async def test_an_end_without_a_picture_is_told_with_its_code(gateway):
    async with listening(gateway.url, token("acme")) as listener:
        broken = await submitted(gateway, {**MUG, "prompt": "[500] A broken mug"})
        stopped = await submitted(gateway, SLOW)
        await listener.until("progress", stopped)
        await canceled(gateway, stopped)
        ends = [(await listener.until("failed", job_id))[-1] for job_id in (broken, stopped)]

    assert [(event, data["error"]["code"]) for event, data in ends] == [
        ("failed", "SERVICE_UNAVAILABLE"),
        ("failed", "JOB_CANCELED"),
    ]


async def test_a_job_that_no_worker_begins_in_time_fails_by_its_deadline(redis_url, shared_simulator):
    with running_gateway(redis_url, shared_simulator, workers=0) as gateway:
        async with listening(gateway.url, token("acme")) as listener:
            job_id = await submitted(gateway, {**MUG, "startWithin": 1})
            await listener.subscribe(job_id=job_id)  # without a worker nobody else looks at the clock
            heard = await listener.until("failed", job_id)

    assert (heard[-1][1]["error"]["code"], heard[-1][1]["error"]["details"]["reason"]) == ("TIMEOUT", "deadline")


async def test_a_socket_that_was_cut_comes_back_at_another_process_and_hears_the_end(pair):
    one, other = pair
    async with listening(one.url, token("acme")) as listener:
        job_id = await submitted(one, SLOW)
        await listener.until("progress", job_id)
    async with listening(other.url, token("acme")) as again:
        state = await again.subscribe(job_id=job_id)
        heard = await again.until("completed", job_id)

    assert state["data"]["status"] in {"queued", "running"}
    assert [event for event, _ in heard].count("completed") == 1


@pytest.mark.parametrize(
    ("sent", "headers"),
    [
        (None, {}),
        ("not a token", {}),
        (token("acme", exp=int(time.time()) - 60), {}),
        (token("acme", scope="something:else"), {}),
        (None, {"Authorization": "Basic abc"}),
        ({"nested": 1}, {}),
        ("\ud800", {}),
    ],
    ids=["none", "wrong", "expired", "without the scope", "basic", "no text", "no ASCII"],
)
async def test_a_credential_that_does_not_hold_is_refused(gateway, sent, headers):
    with pytest.raises(Exception, match="One or more namespaces failed to connect"):
        async with listening(gateway.url, sent, headers=headers):
            pass


async def test_a_handshake_counts_against_the_keys_own_rate_and_is_refused_beyond_it(gateway):
    def made():
        with gateway.client(scope="admin:image-gen write:image-gen read:image-gen") as admin:
            told = {"name": "CI", "rateLimits": {"requestsPerMinute": 2}}
            return admin.post("/api/v1/keys", json=told).json()["data"]["key"]

    key = await asyncio.to_thread(made)
    async with listening(gateway.url, key) as one, listening(gateway.url, headers={"api-key": key}) as two:
        assert one.client.connected
        assert two.client.connected
    async with javascript(gateway.url, key) as (lines, _):
        (heard,) = [line async for line in lines]

    assert (heard["event"], heard["data"]["message"]) == ("connect_error", "rate limited")
    assert (heard["data"]["data"]["code"], heard["data"]["data"]["details"]["reason"]) == ("RATE_LIMITED", "key_limit")


async def test_websockets_come_from_no_page_from_our_own_or_from_one_that_is_named(gateway):
    own, named = {"Origin": gateway.url}, {"Origin": "https://studio.example"}
    for headers in (own, named):
        async with listening(gateway.url, token("acme"), headers=headers) as listener:
            assert listener.client.connected

    with pytest.raises(Exception, match="Connection error"):
        async with listening(gateway.url, token("acme"), headers={"Origin": "https://evil.example"}):
            pass


@pytest.mark.parametrize("session", ["", "&sid=none"])
def test_a_request_that_names_a_websocket_and_is_none_is_refused(gateway, session):
    headers = {"Upgrade": "websocket", "Connection": "keep-alive"}
    with gateway.client() as client:
        answer = client.get(f"/socket.io/?EIO=4&transport=websocket{session}", headers=headers)

    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, "transport")


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://studio.example", ["https://studio.example"]), ("https://evil.example", [])]
)
def test_a_poll_is_answered_to_the_pages_of_named_origins_with_the_headers_of_every_answer(gateway, origin, allowed):
    with gateway.client() as client:
        answer = client.get("/socket.io/?EIO=4&transport=polling", headers={"Origin": origin})

    assert answer.text.startswith('0{"sid"')
    assert answer.headers.get_list("access-control-allow-origin") == allowed
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"].startswith("req_")


def javascript(url, secret, **told):
    """npm's client as a context: its lines, and a future that is done once it is connected."""
    node = shutil.which("node")
    if node is None or not (JAVASCRIPT / "node_modules").is_dir():
        pytest.skip("npm's socket.io-client is not installed: `npm ci` in tests/clients/socketio")
    return _Javascript([node, str(JAVASCRIPT / "listen.js")], {"url": url, "token": secret, **told})


class _Javascript:
    def __init__(self, command, told):
        self._command = command
        self._told = json.dumps({name: value for name, value in told.items() if value is not None}).encode()
        self._lines = asyncio.Queue()
        self._opened = asyncio.get_running_loop().create_future()

    async def __aenter__(self):
        pipe = subprocess.PIPE
        self._child = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe)
        self._child.stdin.write(self._told)
        self._child.stdin.close()
        self._reading = asyncio.create_task(self._read())
        return self._said(), self._opened

    async def __aexit__(self, *_):
        if self._child.returncode is None:
            self._child.kill()
        await self._reading
        await self._child.wait()

    async def _read(self):
        async for line in self._child.stdout:
            said = json.loads(line)
            if said["event"] == "connect":
                self._opened.set_result(said["data"])
            else:
                self._lines.put_nowait(said)
        self._lines.put_nowait(None)

    async def _said(self):
        async with asyncio.timeout(30):
            while (line := await self._lines.get()) is not None:
                yield line
