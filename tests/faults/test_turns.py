"""Turns in arq's queue: those that have begun are in nobody's way, and one that is lost is asked for again."""

import time

import pytest
import redis

from jobs.redis.keys import Keys
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway

KEYS = Keys("{darkroom}:")
PATH = "/api/v1/jobs"
FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox"}
AS_ARQ_READS = 1_000
"""The oldest turns in arq's queue that one look reads."""


@pytest.fixture
def queue(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


def begun_elsewhere(queue, number):
    """As many turns as arq keeps them while they run, of workers that live."""
    soon = time.time() * 1000 + 60_000
    turns = [f"{KEYS.prefix}turn_{each:026}" for each in range(number)]
    with queue.pipeline() as pipe:
        pipe.zadd(KEYS.arq_turns, dict.fromkeys(turns, soon - 120_000))
        pipe.zadd(KEYS.turns, dict.fromkeys(turns, soon))
        pipe.zadd(KEYS.slots, {f"other/{each}": soon for each in range(number)})
        for turn in turns:
            pipe.set(f"{KEYS.prefix}arq:in-progress:{turn}", "1")
        pipe.execute()


def test_a_thousand_turns_that_run_keep_no_other_from_beginning(redis_url, queue, simulator):
    with running_gateway(redis_url, simulator) as gateway, gateway.client() as client:
        begun_elsewhere(queue, AS_ARQ_READS)

        job = client.post(PATH, json=FOX, headers={"Prefer": "wait=30"}).json()["data"]

    assert job["status"] == "succeeded"


def test_a_turn_that_runs_is_not_in_the_queue(redis_url, queue, simulator):
    simulator.bench.delay = 30
    with running_gateway(redis_url, simulator) as gateway, gateway.client() as client:
        client.post(PATH, json=FOX).raise_for_status()
        wait_until(simulator.bench.calls, what="the call")

        assert (queue.zcard(KEYS.arq_turns), queue.zcard(KEYS.turns)) == (0, 1)
        gateway.workers[0].kill()


def test_a_turn_that_was_lost_before_its_first_claim_is_asked_for_again(redis_url, queue, simulator):
    with running_gateway(redis_url, simulator, workers=0) as gateway, gateway.client() as client:
        queue.zadd(KEYS.slots, {"gone/1": time.time() * 1000 + 60_000})
        job_id = client.post(PATH, json=FOX).json()["data"]["id"]
        turns = queue.zpopmin(KEYS.arq_turns)
        gateway.start_worker()

        job = client.get(f"{PATH}/{job_id}?wait=60&until=terminal").json()["data"]

    assert (len(turns), job["status"]) == (1, "succeeded")
