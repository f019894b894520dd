"""A Redis that was away for longer than a lease: who begins meanwhile gives those who live the time to say so."""

import contextlib
from urllib.parse import urlsplit

import redis

from jobs.redis.keys import Keys
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.tcp_proxy import running_relay

KEYS = Keys("{darkroom}:")
JOBS = "/api/v1/jobs"
FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "[delay=14] A red fox"}


def start_worker(gateway, port):
    before = gateway.environment["REDIS_URL"]
    gateway.environment["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
    gateway.start_worker()
    gateway.environment["REDIS_URL"] = before


def test_a_worker_that_starts_in_a_failover_takes_no_job_from_one_that_lives(redis_url, simulator):
    port = urlsplit(redis_url).port
    with (
        running_relay(port) as near_old,
        running_relay(port) as near_new,
        running_gateway(redis_url, simulator, workers=0, DARKROOM_LEASE_SECONDS="5") as gateway,
        gateway.client() as client,
        redis.Redis.from_url(redis_url) as admin,
    ):
        start_worker(gateway, near_old.port)
        job_id = client.post(JOBS, json=FOX).json()["data"]["id"]
        wait_until(lambda: simulator.bench.calls() != [], what="the call")
        near_new.shut()
        start_worker(gateway, near_new.port)
        near_old.shut()

        def lapsed():
            return admin.zcount(KEYS.workers, "(" + str(admin.time()[0] * 1000), "+inf") == 0

        wait_until(lapsed, what="the end of the lease")
        near_new.open()
        wait_until(lambda: not lapsed(), what="the new worker")
        with contextlib.suppress(AssertionError):  # what a worker that trusts at once would do, it does now
            wait_until(lambda: admin.zcard(KEYS.lost) > 0, seconds=1)
        near_old.open()
        job = client.get(f"{JOBS}/{job_id}?wait=40&until=terminal").json()["data"]

    assert (job["status"], [a["outcome"] for a in job["attempts"]]) == ("succeeded", ["succeeded"])
    assert len(simulator.bench.calls()) == 1
