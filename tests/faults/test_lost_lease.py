"""A lease that is lost while calls are open: they are paid for, so none of them is cut."""

import redis

from jobs.redis.fields import JobField
from jobs.redis.keys import Keys
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

KEYS = Keys("{darkroom}:")

FIVE = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "Five foxes", "n": 5}


def test_calls_beside_the_one_that_finds_the_lease_lost_end_and_what_they_bring_is_kept(simulator):
    simulator.bench.delay, simulator.bench.jitter = 1.0, 2.0
    with running_redis() as server, running_gateway(server.url, simulator) as gateway, gateway.client() as client:
        job = client.post("/api/v1/jobs", json=FIVE).json()["data"]["id"]
        wait_until(lambda: len(simulator.bench.calls()) == 5, what="the calls")
        with redis.Redis.from_url(server.url) as admin:
            admin.hincrby(KEYS.job(job), JobField.FENCE, 1)  # as when another worker has claimed it

        wait_until(lambda: len(gateway.blobs("images")) == 5, what="all five pictures")

    assert len(simulator.bench.calls()) == 5
