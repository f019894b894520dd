"""Cancel and erase, told with the money; what comes late is kept for whoever paid for it."""

import time

import httpx
import pytest
import redis

from jobs.redis.keys import Keys
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

KEYS = Keys("{darkroom}:")

JOBS = "/api/v1/jobs"
SLOW = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "[delay=2] A red fox"}


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    with running_redis() as redis, running_gateway(redis.url, shared_simulator) as running:
        yield running


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def begun(client, shared_simulator, prompt, **fields):
    """A job whose call is open."""
    body = {**SLOW, "prompt": f"[delay=2] {prompt}", **fields}
    job_id = client.post(JOBS, json=body).json()["data"]["id"]
    wait_until(lambda: shared_simulator.bench.calls(prompt) != [], what="the call")
    return job_id


def test_a_running_job_is_abandoned_at_once_and_its_late_picture_is_salvaged(client, shared_simulator):
    job_id = begun(client, shared_simulator, "Abandoned")

    canceled = client.post(f"{JOBS}/{job_id}/cancel")
    job = canceled.json()["data"]
    result = client.get(f"{JOBS}/{job_id}/result")
    wait_until(lambda: client.get(f"{JOBS}/{job_id}").json()["data"]["cancel"]["salvaged"], what="the salvage")
    late = client.get(f"{JOBS}/{job_id}").json()["data"]
    content = client.get(f"{JOBS}/{job_id}/content", follow_redirects=True)
    events = [e["type"] for e in client.get(f"{JOBS}/{job_id}/events").json()["data"]]

    assert (canceled.status_code, job["status"], job["cancel"]["outcome"]) == (200, "canceled", "abandoned")
    assert (job["billing"]["state"], job["billing"]["providerCalls"]) == ("possibly_billed", 1)
    assert (result.status_code, result.json()["error"]["code"]) == (409, "JOB_CANCELED")
    assert (late["status"], late["billing"]["state"], late["version"]) == ("canceled", "billed", job["version"] + 1)
    assert content.content == httpx.get(late["result"]["url"]).content
    assert events[-2:] == ["image.job.canceled", "image.job.salvaged"]
    assert len(shared_simulator.bench.calls("Abandoned")) == 1


def test_a_second_cancel_changes_nothing(client, shared_simulator):
    job_id = begun(client, shared_simulator, "Twice")

    first = client.post(f"{JOBS}/{job_id}/cancel").json()["data"]
    again = client.post(f"{JOBS}/{job_id}/cancel").json()["data"]

    assert (again["version"], again["cancel"]) == (first["version"], first["cancel"])


def test_a_cancel_after_the_end_says_how_it_ended(client):
    job = client.post(JOBS, json={**SLOW, "prompt": "Done"}, headers={"Prefer": "wait=30"}).json()["data"]

    canceled = client.post(f"{JOBS}/{job['id']}/cancel")

    assert (canceled.status_code, canceled.json()["data"]["status"]) == (200, "succeeded")
    assert canceled.json()["data"]["version"] == job["version"]


def test_a_job_that_is_erased_leaves_nothing_but_the_knowledge_that_it_was(gateway, client):
    body = {**SLOW, "prompt": "Forget me", "metadata": {"who": "a name to be forgotten"}}
    job = client.post(JOBS, json=body, headers={"Prefer": "wait=30", "Idempotency-Key": "erased"}).json()["data"]
    url = job["result"]["url"]

    erased = client.delete(f"{JOBS}/{job['id']}")

    assert erased.status_code == 204
    assert client.delete(f"{JOBS}/{job['id']}").status_code == 204
    for path in ("", "/result", "/content", "/events"):
        gone = client.get(f"{JOBS}/{job['id']}{path}")
        assert (gone.status_code, gone.json()["error"]["code"]) == (410, "GONE")
    assert client.post(f"{JOBS}/{job['id']}/cancel").status_code == 410
    assert httpx.get(url).status_code == 404
    assert job["id"] not in client.get(JOBS).text
    assert gateway.redis_keys_holding("a name to be forgotten") == []
    again = client.post(JOBS, json=body, headers={"Idempotency-Key": "erased"})
    assert (again.status_code, again.json()["error"]["details"]["jobId"]) == (410, job["id"])


def test_another_orgs_job_can_neither_be_erased_nor_told_from_none(gateway, client):
    job = client.post(JOBS, json={**SLOW, "prompt": "Mine"}, headers={"Prefer": "wait=30"}).json()["data"]
    with gateway.client("stranger") as stranger:
        answer = stranger.delete(f"{JOBS}/{job['id']}")
        client.delete(f"{JOBS}/{job['id']}")
        after = stranger.get(f"{JOBS}/{job['id']}")

    assert (answer.status_code, after.status_code) == (404, 404)


def test_a_live_job_that_is_erased_leaves_no_picture_when_its_call_ends(gateway, shared_simulator):
    with gateway.client("leavers") as leaver:
        job_id = begun(leaver, shared_simulator, "Erased while it ran")
        assert leaver.delete(f"{JOBS}/{job_id}").status_code == 204
        wait_until(
            lambda: shared_simulator.bench.calls("Erased while it ran")[0]["pictures"] != [], what="the late picture"
        )
        follower = leaver.post(JOBS, json={**SLOW, "prompt": "After it"}, headers={"Prefer": "wait=30"}).json()["data"]
        leaver.delete(f"{JOBS}/{follower['id']}")

    wait_until(lambda: gateway.blobs("images/leavers") == [], what="the deletion")


def test_pictures_go_with_the_record_where_the_request_set_its_end(redis_url, shared_simulator):
    """An hour is the shortest; so the sweeper is told that the time has come."""
    with running_gateway(redis_url, shared_simulator) as gateway, gateway.client("shortlived") as client:
        kept = client.post(JOBS, json={**SLOW, "prompt": "Kept"}, headers={"Prefer": "wait=30"}).json()["data"]
        short = {**SLOW, "prompt": "Short", "expiresAfter": 3600}
        job = client.post(JOBS, json=short, headers={"Prefer": "wait=30"}).json()["data"]
        with redis.Redis.from_url(redis_url) as admin:
            ((name, at),) = admin.zrange(KEYS.expiring_blobs, 0, -1, withscores=True)
            admin.zadd(KEYS.expiring_blobs, {name: 1})
            record_ends = time.time() * 1000 + admin.pttl(KEYS.job(job["id"]))
            admin.pexpire(KEYS.job(job["id"]), 1)
        wait_until(lambda: len(gateway.blobs("images/shortlived")) == 1, what="the sweep")
        gone = client.get(f"{JOBS}/{job['id']}")

    assert abs(at - record_ends) < 2_000
    assert (gone.status_code, kept["status"]) == (410, "succeeded")
