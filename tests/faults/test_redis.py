"""A Redis that dies, pauses or is full: nothing accepted is lost or bought twice, and no process needs a restart."""

import asyncio
import random
import time

import httpx
import redis

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox"}
SLOW = {**FOX, "prompt": "[delay=4] A red fox"}
KILLS, ACCEPTED, WAITED = 5, 100, 20


def test_redis_killed_and_started_again_loses_no_job_and_buys_none_twice(simulator):
    with running_redis() as server, running_gateway(server.url, simulator) as gateway, gateway.client() as client:
        made = [client.post("/api/v1/jobs", json=SLOW).json()["data"]["id"] for _ in range(5)]
        wait_until(lambda: len(simulator.bench.calls()) == 5, what="the calls")
        server.kill()
        assert httpx.get(f"{gateway.url}/readyz").status_code == 503
        refused = client.post("/api/v1/jobs", json=SLOW)
        server.start()
        wait_until(gateway.ready, what="readiness")
        ended = [client.get(f"/api/v1/jobs/{j}?wait=40&until=terminal").json()["data"] for j in made]
        alive = [gateway.api.poll(), gateway.workers[0].poll()]

    assert (refused.status_code, refused.json()["error"]["details"]["reason"]) == (503, "store_unavailable")
    assert alive == [None, None]
    assert {job["status"] for job in ended} == {"succeeded"}
    assert {job["billing"]["providerCalls"] for job in ended} == {1}
    assert len(simulator.bench.calls()) == 5


def test_under_load_five_kills_lose_no_accepted_job_finish_none_twice_and_leave_no_waiter_alone(simulator):
    """Half of the callers poll, half wait in one request."""
    simulator.bench.jitter = 0.5
    with (
        running_redis() as server,
        running_gateway(server.url, simulator, workers=2, DARKROOM_LEASE_SECONDS="4") as gateway,
    ):
        counts = asyncio.run(_under_load(gateway, server))
        alive = [child.poll() for child in (gateway.api, *gateway.workers)]

    calls = {}
    for call in simulator.bench.calls():
        calls.setdefault(call["client_request_id"], []).append(call["pictures"])
    accepted, waited = counts
    assert alive == [None, None, None]
    assert len(accepted) >= ACCEPTED
    assert {job["status"] for job in accepted} == {"succeeded"}
    for job in accepted:
        assert len(calls[job["requestId"]]) == job["billing"]["providerCalls"] == 1
    assert {status for status, _ in waited} <= {200, 503}
    assert sum(status == 200 for status, _ in waited) >= WAITED


async def _under_load(gateway, server):
    accepted, waited, over = [], [], asyncio.Event()

    async def poll(client):
        while not over.is_set():
            made = await client.post("/api/v1/jobs", json=FOX)
            if made.status_code == 202:
                accepted.append(await _ended(client, made.json()["data"]["id"]))
            await asyncio.sleep(0.1)

    async def wait(client):
        while not over.is_set():
            answer = await client.post("/api/v1/agents/images", json=FOX)
            waited.append((answer.status_code, answer.headers.get("x-job-id")))
            await asyncio.sleep(0.1)

    def enough():
        return len(accepted) >= ACCEPTED and sum(status == 200 for status, _ in waited) >= WAITED

    async with gateway.async_client() as client:
        callers = [asyncio.create_task(do(client)) for do in (poll, wait) for _ in range(8)]
        for _ in range(KILLS):
            await asyncio.sleep(2 + random.random())
            server.kill()
            await asyncio.sleep(random.random())
            server.start()  # in this thread: the child ends with the thread that made it
        await asyncio.to_thread(wait_until, enough, 120, "that many jobs")
        over.set()
        await asyncio.wait_for(asyncio.gather(*callers), 120)
    return accepted, waited


async def _ended(client, job_id):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        answer = await client.get(f"/api/v1/jobs/{job_id}?wait=20&until=terminal")
        if answer.status_code == 503:
            await asyncio.sleep(0.3)
            continue
        assert answer.status_code == 200, f"an accepted job is gone: {answer.text}"
        job = answer.json()["data"]
        if job["status"] in {"succeeded", "failed"}:
            return job
    raise AssertionError(f"{job_id} did not end")


def test_a_primary_that_pauses_as_in_a_failover_is_waited_for(simulator):
    with running_redis() as server, running_gateway(server.url, simulator) as gateway, gateway.client() as client:
        job_id = client.post("/api/v1/jobs", json=SLOW).json()["data"]["id"]
        wait_until(lambda: len(simulator.bench.calls()) == 1, what="the call")
        with redis.Redis.from_url(server.url) as admin:
            admin.client_pause(8_000)
        began = time.monotonic()
        ready = httpx.get(f"{gateway.url}/readyz", timeout=20)
        took = time.monotonic() - began
        job = client.get(f"/api/v1/jobs/{job_id}?wait=40&until=terminal").json()["data"]

    assert (ready.status_code, job["status"], job["billing"]["providerCalls"]) == (503, "succeeded", 1)
    assert took < 8


def test_a_redis_short_of_memory_takes_no_new_work_and_finishes_what_it_took(simulator):
    with running_redis() as server, running_gateway(server.url, simulator) as gateway, gateway.client() as client:
        made = [client.post("/api/v1/jobs", json=SLOW).json()["data"]["id"] for _ in range(3)]
        wait_until(lambda: len(simulator.bench.calls()) == 3, what="the calls")
        with redis.Redis.from_url(server.url) as admin:
            admin.setrange("others", 40_000_000, "x")  # so that the last tenth is more than what a few jobs write
            used = admin.info("memory")["used_memory"]
            admin.config_set("maxmemory", round(used * 1.08))
            wait_until(lambda: client.post("/api/v1/jobs", json=FOX).status_code == 503, what="the refusal")
            refused = client.post("/api/v1/jobs", json=FOX)
            ended = [client.get(f"/api/v1/jobs/{j}?wait=30&until=terminal").json()["data"]["status"] for j in made]
            admin.config_set("maxmemory", 0)
            wait_until(lambda: client.post("/api/v1/jobs", json=FOX).status_code == 202, what="the next acceptance")

    error = refused.json()["error"]
    assert (error["code"], error["details"]["reason"]) == ("SERVICE_UNAVAILABLE", "store_full")
    assert int(refused.headers["retry-after"]) >= 1
    assert ended == ["succeeded"] * 3


def test_a_submission_made_while_redis_comes_back_is_one_job(simulator):
    with running_redis() as server, running_gateway(server.url, simulator) as gateway, gateway.client() as client:
        server.kill()
        answers = asyncio.run(_post_while(gateway, server))
        listed = client.get("/api/v1/jobs").json()["data"]["jobs"]

    assert [a.status_code for a in answers] == [202]
    assert len(listed) == 1


async def _post_while(gateway, server):
    async with gateway.async_client() as client:
        post = asyncio.create_task(client.post("/api/v1/jobs", json=FOX))
        await asyncio.sleep(1)
        server.start()  # in this thread: the child ends with the thread that made it
        return [await post]


def test_the_redis_of_the_tests_is_one_that_keeps_what_it_was_told(redis_url):
    with redis.Redis.from_url(redis_url) as admin:
        assert admin.config_get("appendonly")["appendonly"] == "yes"
        assert admin.config_get("appendfsync")["appendfsync"] == "always"
        assert admin.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
