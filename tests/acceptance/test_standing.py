"""What is told of a job only while it is read: its place in the queue, why it waits, how far it is."""

import pytest

from tests.acceptance.conftest import JOBS
from tests.acceptance.test_streams import read
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview"}


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    """One slot: whoever is second waits."""
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, DARKROOM_WORKER_SLOTS="1") as running:
        yield running


def posted(client, prompt, **fields):
    answer = client.post(JOBS, json={**FOX, "prompt": prompt, **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()["data"]


def got(client, job, **headers):
    return client.get(f"{JOBS}/{job['id']}", headers=headers)


def generating(client, job):
    wait_until(lambda: got(client, job).json()["data"]["phase"] == "generating", what="the call")
    return job


def ended(client, *jobs):
    for job in jobs:
        assert client.get(f"{JOBS}/{job['id']}?wait=40&until=terminal").json()["data"]["status"] == "succeeded"


def test_who_waits_is_told_the_place_and_the_time_at_submission_and_at_every_read(gateway):
    with gateway.client("queue") as client:
        first = generating(client, posted(client, "[delay=2] First"))
        second, third = (posted(client, f"{name} in line") for name in ("Second", "Third"))
        before = got(client, third)
        ended(client, first)
        wait_until(lambda: "queue" not in got(client, second).json()["data"], what="the second to begin")
        ended(client, second, third)
        after = got(client, third).json()["data"]

    shown = before.json()["data"]
    assert [job["queue"]["position"] for job in (second, third)] == [1, 2]
    assert third["queue"] == shown["queue"]
    assert 0 < third["queue"]["estimatedStartSeconds"]["p50"] <= third["queue"]["estimatedStartSeconds"]["p90"]
    assert shown["progress"]["source"] == "none"
    assert shown["progress"]["estimatedFinishSeconds"] > shown["queue"]["estimatedStartSeconds"]["p50"]
    assert "queue" not in after
    assert after["progress"] == {"value": 1.0, "source": "none"}


def test_a_place_that_changes_is_no_new_version(gateway):
    with gateway.client("version") as client:
        first = generating(client, posted(client, "[delay=2] Before"))
        low = posted(client, "Patient", priority="low")
        seen = got(client, low)
        high = posted(client, "Urgent", priority="high")
        moved = got(client, low)
        unchanged = got(client, low, **{"If-None-Match": seen.headers["etag"]})
        ended(client, first, high, low)

    assert [a.json()["data"]["queue"]["position"] for a in (seen, moved)] == [1, 2]
    assert moved.headers["etag"] == seen.headers["etag"]
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_a_job_that_runs_tells_an_estimate_that_grows_and_the_log_keeps_none(gateway):
    with gateway.client("running") as client:
        job = generating(client, posted(client, "[delay=6] Slow"))
        early = got(client, job).json()["data"]["progress"]
        wait_until(
            lambda: got(client, job).json()["data"]["progress"]["value"] > early["value"], what="progress", seconds=5
        )
        (snapshot, *_) = read(client, f"{JOBS}/{job['id']}/events", most=1)
        pending = client.get(f"{JOBS}/{job['id']}/result").json()["data"]["progress"]
        ended(client, job)
        events = client.get(f"{JOBS}/{job['id']}/events").json()["data"]

    for progress in (early, snapshot["data"]["data"]["progress"], pending):
        assert progress["source"] == "estimated"
        assert 0 <= progress["value"] <= 0.95
    assert {event["data"]["progress"]["source"] for event in events} == {"none"}


def test_a_job_is_throttled_while_its_org_or_its_provider_is_full_and_only_then(redis_url, simulator):
    limit = {"DARKROOM_PROVIDER_CONCURRENCY": "gemini=2"}
    with (
        running_gateway(redis_url, simulator, **limit) as gateway,
        gateway.client("full", scope="write:image-gen read:image-gen admin:image-gen") as client,
        gateway.client("other") as other,
    ):
        client.patch("/api/v1/orgs/full", json={"maxRunning": 1})
        first = generating(client, posted(client, "[delay=2] Full"))
        by_org = posted(client, "[delay=2] Held by the org")
        free = generating(other, posted(other, "[delay=2] Free"))
        by_provider = posted(other, "Held by the provider")
        read_again = got(other, by_provider).json()["data"]
        (snapshot, *_) = read(other, f"{JOBS}/{by_provider['id']}/events", most=1)
        events = other.get(f"{JOBS}/{by_provider['id']}/events").json()["data"]
        ended(client, first, by_org)
        ended(other, free, by_provider)

    assert [job["phase"] for job in (by_org, by_provider, read_again)] == ["throttled"] * 3
    assert snapshot["data"]["data"]["phase"] == "throttled"
    assert (read_again["status"], read_again["version"], events[0]["data"]["phase"]) == ("queued", 1, "queued")


def test_a_dry_run_tells_where_the_job_would_stand(gateway):
    with gateway.client("dry") as client:
        first = generating(client, posted(client, "[delay=2] Ahead"))
        second = posted(client, "Behind", provider="azure-openai", model="gpt-image-2")
        told = client.post(f"{JOBS}?dryRun=true", json={**FOX, "prompt": "Only asked"}).json()["data"]
        ended(client, first, second)

    assert (told["queue"]["ahead"], told["queue"]["position"]) == (1, 2)
    assert told["queue"]["estimatedStartSeconds"]["p50"] > 0
