"""What a credential opened ends with it: streams within one look, waits without their result."""

import asyncio
import time

import httpx
import pytest

from app.auth.recheck import RECHECK_SECONDS
from tests.acceptance.conftest import AGENTS, JOBS, MUG
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway, token
from tests.neighbours.redis_server import running_redis

pytestmark = pytest.mark.anyio
ALL = "admin:image-gen write:image-gen read:image-gen"
SSE = {"Accept": "text/event-stream"}
GENERATIONS = "/v1/images/generations"
LEEWAY_SECONDS = 30
"""A token's end is taken so much later: clocks differ."""
ROUND = RECHECK_SECONDS + 3
STREAMS = {
    "events": lambda client, job_id: client.stream("GET", f"{JOBS}/{job_id}/events", headers=SSE),
    "progress": lambda client, job_id: client.stream("GET", f"/v1/images/progress/{job_id}"),
    "job": lambda client, _: client.stream("POST", JOBS, headers=SSE, json=MUG),
    "agents": lambda client, _: client.stream("POST", AGENTS, headers=SSE, json=MUG),
    "images": lambda client, _: client.stream(
        "POST", GENERATIONS, json={"model": "gpt-image-2", "prompt": "Streamed", "stream": True}
    ),
}


@pytest.fixture(scope="module")
def idle(shared_simulator):
    """A gateway whose jobs nobody makes: its streams go on for ever."""
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, workers=0) as running:
        yield running


def calling(gateway, secret):
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60, trust_env=False)


async def job_of(client):
    return (await client.post(JOBS, json=MUG)).json()["data"]["id"]


async def read(stream, opened=None):
    """What came until the stream ended, and when it did."""
    told = b""
    async with stream as answer:
        assert answer.status_code == 200, await answer.aread()
        async for piece in answer.aiter_raw():
            told += piece
            if opened is not None:
                opened.set()
    return told.decode(), time.monotonic()


async def reading(client, kind):
    """A stream that is being read; of images nothing is said before its first event."""
    opened = asyncio.Event()
    task = asyncio.create_task(read(STREAMS[kind](client, await job_of(client)), opened))
    if kind != "images":
        await opened.wait()
    return task


def key(admin):
    return admin.post("/api/v1/keys", json={"name": "short-lived"}).json()["data"]


async def test_every_stream_of_a_revoked_key_ends_within_one_look_and_those_of_others_go_on(idle):
    with idle.client(scope=ALL) as admin:
        made = key(admin)
        async with calling(idle, made["key"]) as client, calling(idle, token("acme", sub="kept")) as other:
            streams = [await reading(client, kind) for kind in STREAMS]
            kept = await reading(other, "events")
            await asyncio.to_thread(wait_until, lambda: _streams(admin) == 6, 20, "six streams")
            assert admin.delete(f"/api/v1/keys/{made['id']}").status_code == 204
            began = time.monotonic()
            async with asyncio.timeout(2 * ROUND):
                ends = await asyncio.gather(*streams)

            assert max(at for _, at in ends) - began < ROUND
            assert not kept.done()
            assert _streams(admin) == 1
            kept.cancel()

    *told, images = [text for text, _ in ends]
    assert all("succeeded" not in text and "error" not in text for text in told)
    assert images.count("event: error") == 1
    assert "invalid_api_key" in images


def _streams(client):
    return client.get("/api/v1/stats").json()["data"]["here"]["streams"]


async def test_a_stream_ends_when_its_token_expires(idle):
    secret = token("acme", exp=int(time.time()) - LEEWAY_SECONDS + 3)
    async with calling(idle, secret) as client:
        stream = await reading(client, "events")
        began = time.monotonic()
        async with asyncio.timeout(2 * ROUND):
            _, ended = await stream
        after = await client.get("/api/v1/limits")

    assert ended - began < 3 + ROUND
    assert after.status_code == 401


WAITS = {
    "agents": lambda client, body, _: client.post(AGENTS, json=body),
    "images": lambda client, body, _: client.post(
        GENERATIONS, json={"model": body["model"], "prompt": body["prompt"], "response_format": "url"}
    ),
    "job": lambda client, body, _: client.post(JOBS, json=body, headers={"Prefer": "wait=60"}),
    "poll": lambda client, _, job_id: client.get(f"{JOBS}/{job_id}?wait=60&until=terminal"),
}


@pytest.mark.parametrize("kind", WAITS)
async def test_a_wait_hands_no_result_to_a_key_that_was_revoked_meanwhile(gateway, shared_simulator, kind):
    body = {**MUG, "prompt": f"[delay=2] Waited for by {kind}"}
    with gateway.client(scope=ALL) as admin:
        made = key(admin)
        async with calling(gateway, made["key"]) as client:
            job_id = None if kind != "poll" else (await client.post(JOBS, json=body)).json()["data"]["id"]
            wait = asyncio.create_task(WAITS[kind](client, body, job_id))
            await asyncio.to_thread(wait_until, lambda: shared_simulator.bench.calls(body["prompt"]), 20, "the call")
            assert admin.delete(f"/api/v1/keys/{made['id']}").status_code == 204
            answer = await wait
        newest = admin.get(f"{JOBS}?limit=1").json()["data"]["jobs"][0]["id"]
        job = admin.get(f"{JOBS}/{newest}?wait=20&until=terminal").json()["data"]

    assert answer.status_code == 401
    assert job["request"]["prompt"] == body["prompt"]
    assert (job["status"], job["result"]["url"] in answer.text) == ("succeeded", False)
