"""Deploys and outages of the parts beside the worker."""

import threading
import time

import httpx

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

SLOW = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "[delay=4] A red fox"}


def test_an_api_told_to_stop_answers_its_waits_at_once_and_the_job_goes_on(redis_url, simulator):
    with running_gateway(redis_url, simulator) as gateway, gateway.client() as client:
        answers = []
        waiter = threading.Thread(target=lambda: answers.append(client.post("/api/v1/agents/images", json=SLOW)))
        waiter.start()
        wait_until(lambda: len(simulator.bench.calls()) == 1, what="the call")
        begun = time.monotonic()
        gateway.api.terminate()
        waiter.join(10)
        took = time.monotonic() - begun
        gateway.api.wait(10)
        gateway.start_api()
        job_id = answers[0].headers["x-job-id"]
        job = client.get(f"/api/v1/jobs/{job_id}?wait=20&until=terminal").json()["data"]

    assert answers[0].status_code == 504
    assert answers[0].json()["error"]["details"]["reason"] == "wait_expired"
    assert took < 2
    assert job["status"] == "succeeded"
    assert len(simulator.bench.calls()) == 1


def test_redis_killed_and_started_again_loses_no_job_and_buys_none_twice(simulator):
    with running_redis() as redis, running_gateway(redis.url, simulator) as gateway, gateway.client() as client:
        made = [client.post("/api/v1/jobs", json=SLOW).json()["data"]["id"] for _ in range(5)]
        wait_until(lambda: len(simulator.bench.calls()) == 5, what="the calls")
        redis.kill()
        assert httpx.get(f"{gateway.url}/readyz").status_code == 503
        refused = client.post("/api/v1/jobs", json=SLOW)
        redis.start()
        wait_until(gateway.ready, what="readiness")
        for worker in gateway.workers:
            if worker.poll() is not None:
                gateway.start_worker()
        ended = [client.get(f"/api/v1/jobs/{j}?wait=40&until=terminal").json()["data"] for j in made]

    assert (refused.status_code, refused.json()["error"]["details"]["reason"]) == (503, "store_unavailable")
    assert {job["status"] for job in ended} <= {"succeeded", "failed"}
    assert {job["billing"]["providerCalls"] for job in ended} == {1}
    assert len(simulator.bench.calls()) == 5
