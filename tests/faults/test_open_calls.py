"""A provider's limit counts the calls that are open at it, whatever became of their jobs and their workers."""

import signal

import redis

from jobs.redis.keys import Keys
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway

JOBS = "/api/v1/jobs"
SECONDS = 2
"""What a call takes at least."""
GEMINI = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview"}
LIMIT = {"DARKROOM_PROVIDER_CONCURRENCY": "gemini=2"}


def submitted(client, prompt, seconds=SECONDS, **fields):
    body = {**GEMINI, "prompt": f"[delay={seconds}] {prompt}", **fields}
    return client.post(JOBS, json=body).json()["data"]["id"]


def ended(client, job_id):
    return client.get(f"{JOBS}/{job_id}?wait=60&until=terminal").json()["data"]


def most_open(calls, seconds=SECONDS):
    """How many calls were open at once at the most: each for as long as it cannot have ended."""
    starts = [c["started"] for c in calls]
    return max(sum(s <= t < s + seconds for s in starts) for t in starts)


def test_a_call_that_goes_on_after_its_job_was_canceled_keeps_its_room(redis_url, simulator):
    with running_gateway(redis_url, simulator, workers=2, **LIMIT) as gateway, gateway.client() as client:
        for number in range(2):
            pair = [submitted(client, f"To be canceled {number}") for _ in range(2)]
            wait_until(lambda: len(simulator.bench.calls()) >= 2 * number + 2, what="the calls")  # noqa: B023  # waited for here
            for job_id in pair:
                client.post(f"{JOBS}/{job_id}/cancel")
            assert {ended(client, job_id)["status"] for job_id in pair} == {"canceled"}
        kept = ended(client, submitted(client, "Kept"))

    assert kept["status"] == "succeeded"
    assert most_open(simulator.bench.calls()) == 2


def test_a_call_that_outlasts_its_job_keeps_its_room(redis_url, simulator):
    with running_gateway(redis_url, simulator, **LIMIT) as gateway, gateway.client() as client:
        hasty = [submitted(client, "Too slow", 9, cancelAfter=5) for _ in range(2)]
        assert {ended(client, job_id)["status"] for job_id in hasty} == {"failed"}
        after = ended(client, submitted(client, "After them"))

    slow, quick = simulator.bench.calls("Too slow"), simulator.bench.calls("After them")
    assert after["status"] == "succeeded"
    assert quick[0]["started"] >= min(c["started"] for c in slow) + 9


def test_the_calls_of_one_job_are_counted_each(redis_url, simulator):
    with running_gateway(redis_url, simulator, **LIMIT) as gateway, gateway.client() as client:
        jobs = [submitted(client, "Several", n=3), submitted(client, "Several more", n=2)]
        pictures = [len(ended(client, job_id)["result"]["images"]) for job_id in jobs]

    assert pictures == [3, 2]
    assert most_open(simulator.bench.calls()) == 2


def test_a_worker_that_dies_frees_its_rooms_with_its_leases_and_not_before(redis_url, simulator):
    rooms = Keys("{darkroom}:").running_at_provider("gemini")
    told = {**LIMIT, "DARKROOM_LEASE_SECONDS": "5"}
    with running_gateway(redis_url, simulator, **told) as gateway, gateway.client() as client:
        lost = [submitted(client, "Lost", 15) for _ in range(2)]
        wait_until(lambda: len(simulator.bench.calls()) == 2, what="the calls")
        gateway.start_worker()
        gateway.workers[0].send_signal(signal.SIGKILL)
        gateway.workers.pop(0).wait()
        with redis.Redis.from_url(redis_url) as known:
            first = min(until for _, until in known.zrange(rooms, 0, -1, withscores=True))
        after = ended(client, submitted(client, "After it"))
        for job_id in lost:
            ended(client, job_id)

    assert after["status"] == "succeeded"
    assert simulator.bench.calls("After it")[0]["started"] * 1000 >= first
