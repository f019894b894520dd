"""What a job asks of Redis from its acceptance to its end, as the server sees it: bounded, alone and in a batch."""

import pytest
import redis

from jobs.redis.keys import Keys
from tests.batch_calls import ask, named
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_monitor import TIMED, monitored

KEYS = Keys("{darkroom}:")
LEFT_OUT = TIMED | {"ZCARD", "ECHO"}
"""The last two are the tests' own."""
CALLS = 10
ITEMS = 40
HARE = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A hare"}


@pytest.fixture(scope="module")
def gateway(redis_server, shared_simulator):
    redis_server.flush()
    with running_gateway(redis_server.url, shared_simulator, DARKROOM_WORKER_SLOTS="4") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def alone(gateway):
    """Of calls that wait, one after the other while nothing else runs: what one asked by name, outside and inside."""
    url = gateway.environment["REDIS_URL"]
    with gateway.client() as client, monitored(url) as monitor, redis.Redis.from_url(url) as store:
        for number in range(CALLS + 1):
            client.post("/api/v1/agents/images", json=HARE).raise_for_status()
            wait_until(lambda: not store.zcard(KEYS.turns), what="the end of the turn")
            if not number:
                monitor.counts()  # Redis has the scripts from here on
        return [{name: n / CALLS for name, n in each.items() if name not in LEFT_OUT} for each in monitor.counts()]


@pytest.fixture(scope="module")
def batch(gateway, alone, shared_simulator):  # noqa: ARG001  # Redis has the scripts by then
    """The same of a job in a batch, from the request to its end."""
    url = gateway.environment["REDIS_URL"]
    with gateway.client() as client, monitored(url) as monitor, redis.Redis.from_url(url) as store:
        shared_simulator.bench.reset()
        ask(client, named(ITEMS)).raise_for_status()
        wait_until(lambda: len(shared_simulator.bench.calls()) == ITEMS, what="the calls")
        wait_until(lambda: not store.zcard(KEYS.turns), what="the end of the turns")
        return [{name: n / ITEMS for name, n in each.items() if name not in LEFT_OUT} for each in monitor.counts()]


def test_a_call_that_waits_reads_its_job_twice(alone):
    outside, _ = alone

    assert outside["HGET"] <= 2.5  # a slow look beside it, on a slow machine


def test_a_call_that_waits_is_claimed_written_twice_and_seen_to_be_the_last(alone):
    outside, _ = alone

    assert (outside["create_job"], outside["claim_job"], outside["commit_move"]) == (1, 2, 2)


def test_a_call_that_waits_asks_fifteen_commands_at_most(alone):
    outside, _ = alone

    assert sum(outside.values()) <= 15


def test_a_job_in_a_batch_asks_eight_commands_at_most(batch):
    outside, _ = batch

    assert sum(outside.values()) <= 8


def test_a_job_in_a_batch_comes_to_seventy_commands_at_most_with_those_in_scripts(batch):
    outside, inside = batch

    assert sum(outside.values()) + sum(inside.values()) <= 70
