"""A replica that has to know of a paid call first: while it does not answer, jobs wait and nothing is bought."""

import pytest
import redis

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

JOBS = "/api/v1/jobs"
FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox"}


@pytest.fixture
def primary():
    with running_redis() as server:
        yield server


@pytest.fixture
def replica(primary):
    with running_redis() as server:
        server.follow(primary)
        yield server


@pytest.fixture
def gateway(primary, replica, simulator):  # noqa: ARG001  # it is to be there before the first call
    with running_gateway(primary.url, simulator, DARKROOM_INTENT_REPLICAS="1") as gateway:
        yield gateway


def waits(primary):
    """How often the primary was asked to wait for its replicas, to the end."""
    with redis.Redis.from_url(primary.url) as admin:
        return admin.info("commandstats").get("cmdstat_wait", {}).get("calls", 0)


def test_a_call_is_made_once_its_intent_is_on_the_replica(gateway, primary, simulator):
    with gateway.client() as client:
        answer = client.post("/api/v1/agents/images", json=FOX)

    assert answer.status_code == 200
    assert len(simulator.bench.calls()) == 1
    assert waits(primary) >= 1


def test_while_the_replica_does_not_answer_the_job_waits_and_nothing_is_bought(gateway, primary, replica, simulator):
    with gateway.client() as client:
        replica.pause()
        job_id = client.post(JOBS, json=FOX).json()["data"]["id"]
        before = waits(primary)
        wait_until(lambda: waits(primary) >= before + 2, what="two waits in vain")
        waiting, calls = client.get(f"{JOBS}/{job_id}").json()["data"], len(simulator.bench.calls())
        replica.go_on()
        job = client.get(f"{JOBS}/{job_id}?wait=60&until=terminal").json()["data"]

    assert (waiting["status"], waiting["billing"]["state"], calls) == ("running", "none", 0)
    assert (job["status"], job["billing"]["providerCalls"]) == ("succeeded", 1)
    assert len(simulator.bench.calls()) == 1


def test_a_job_that_waits_for_a_replica_can_be_canceled_and_is_never_billed(gateway, primary, replica, simulator):
    with gateway.client() as client:
        replica.pause()
        job_id = client.post(JOBS, json=FOX).json()["data"]["id"]
        before = waits(primary)
        wait_until(lambda: waits(primary) > before, what="a wait in vain")
        client.post(f"{JOBS}/{job_id}/cancel")
        job = client.get(f"{JOBS}/{job_id}?wait=60&until=terminal").json()["data"]
        replica.go_on()
        following = client.post("/api/v1/agents/images", json={**FOX, "prompt": "A lighthouse"})

    assert (job["status"], job["billing"]["state"], job["billing"]["providerCalls"]) == ("canceled", "none", 0)
    assert (following.status_code, len(simulator.bench.calls())) == (200, 1)
