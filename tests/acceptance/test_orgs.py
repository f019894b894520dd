"""Sharing the workers among orgs, their caps and quotas, and how they are seen and set."""

import asyncio
import json
import subprocess
import sys
from collections import Counter

import pytest

from tests.acceptance.conftest import JOBS, MUG
from tests.batch_calls import ask
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

GEMINI = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview"}


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, DARKROOM_WORKER_SLOTS="4") as running:
        yield running


def admin(gateway, org):
    return gateway.client(org, scope="write:image-gen read:image-gen admin:image-gen")


def limit(gateway, org, **limits):
    with admin(gateway, org) as client:
        answer = client.patch(f"/api/v1/orgs/{org}", json=limits)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


async def _submit(gateway, org, count, **body):
    async with gateway.async_client(org) as client:
        posts = [client.post(JOBS, json={**GEMINI, "prompt": f"{org} {i}", **body}) for i in range(count)]
        return {answer.status_code for answer in await asyncio.gather(*posts)}


def begun(shared_simulator, count):
    """The orgs of the first so many calls, in their order."""
    wait_until(lambda: len(shared_simulator.bench.calls()) >= count, seconds=60, what=f"{count} calls")
    return [call["prompt"].partition(" ")[0] for call in shared_simulator.bench.calls()[:count]]


def test_one_job_behind_another_orgs_thousand_starts_within_one_round_of_the_slots(redis_url, simulator):
    with running_gateway(redis_url, simulator, workers=0, DARKROOM_WORKER_SLOTS="5") as gateway:
        with gateway.client("many") as client:
            halves = [ask(client, [f"many {number}" for number in range(500)], priority="high") for _ in range(2)]
        assert [answer.json()["data"]["counts"]["queued"] for answer in halves] == [500, 500]
        assert asyncio.run(_submit(gateway, "one", 1)) == {202}
        gateway.start_worker()
        order = begun(simulator, 20)

    assert order.index("one") < 10


def test_orgs_share_the_workers_by_their_weight(redis_url, simulator):
    with running_gateway(redis_url, simulator, workers=0, DARKROOM_WORKER_SLOTS="5") as gateway:
        limit(gateway, "double", weight=2)
        for org in ("single", "other", "double"):
            assert asyncio.run(_submit(gateway, org, 180)) == {202}
        gateway.start_worker()
        shares = Counter(begun(simulator, 300))

    assert 135 <= shares["double"] <= 165
    assert 67 <= shares["single"] <= 83
    assert 67 <= shares["other"] <= 83


def test_a_costly_job_counts_for_as_many_as_it_takes(redis_url, simulator):
    """Four pictures of a model that makes one a call are four turns of the workers."""
    with running_gateway(redis_url, simulator, workers=0, DARKROOM_WORKER_SLOTS="2") as gateway:
        asyncio.run(_submit(gateway, "big", 20, n=4))
        asyncio.run(_submit(gateway, "small", 60))
        gateway.start_worker()
        shares = Counter(begun(simulator, 80))

    assert 30 <= shares["small"] <= 50


def test_no_more_of_an_orgs_jobs_run_at_once_than_it_may(gateway, shared_simulator):
    limit(gateway, "narrow", maxRunning=2)
    with gateway.client("narrow") as client:
        body = {**GEMINI, "prompt": "[delay=0.6] Narrow"}
        made = [client.post(JOBS, json=body).json()["data"]["id"] for _ in range(6)]
        ended = [client.get(f"{JOBS}/{j}?wait=30&until=terminal").json()["data"]["status"] for j in made]

    starts = sorted(c["started"] for c in shared_simulator.bench.calls("Narrow"))
    assert set(ended) == {"succeeded"}
    assert max(sum(s <= t < s + 0.55 for s in starts) for t in starts) == 2


def test_an_org_whose_queue_is_as_long_as_it_may_be_is_told_to_come_back(redis_url, simulator):
    with running_gateway(redis_url, simulator, workers=0) as gateway, gateway.client("short") as client:
        limit(gateway, "short", maxQueued=2)
        codes = [client.post(JOBS, json=MUG).status_code for _ in range(3)]
        refused = client.post(JOBS, json=MUG)
        shown = client.get("/api/v1/limits").json()["data"]

    error = refused.json()["error"]
    assert codes == [202, 202, 429]
    assert (error["code"], error["details"]["reason"], error["details"]["limit"]) == ("QUEUE_FULL", "org_queue_full", 2)
    assert int(refused.headers["retry-after"]) >= 1
    assert (shown["queued"], shown["limits"]["maxQueued"]) == (2, 2)


def test_a_daily_quota_counts_pictures_and_gives_back_what_was_not_made(gateway):
    limit(gateway, "quota", imagesPerDay=3)
    with gateway.client("quota") as client:
        made = client.post(JOBS, json={**MUG, "n": 2}, headers={"Prefer": "wait=30"})
        failed = client.post(JOBS, json={**MUG, "prompt": "[refuse] Never"}, headers={"Prefer": "wait=30"})
        used = client.get("/api/v1/limits").json()["data"]["usedToday"]
        too_many = client.post(JOBS, json={**MUG, "n": 2})
        last = client.post(JOBS, json=MUG)

    error = too_many.json()["error"]
    assert (made.status_code, failed.json()["data"]["status"], used["images"]) == (200, "failed", 2)
    assert (too_many.status_code, error["code"], error["details"]["quota"]) == (429, "QUOTA_EXCEEDED", "imagesPerDay")
    assert 1 <= int(too_many.headers["retry-after"]) <= 86_400
    assert last.status_code == 202


def test_a_job_tells_what_it_was_to_cost_and_what_it_did_and_the_day_counts_it(gateway):
    limit(gateway, "spender", costPerDay=0.4)
    with gateway.client("spender") as client:
        body = {**MUG, "quality": "high", "n": 2}
        job = client.post(JOBS, json=body, headers={"Prefer": "wait=30"}).json()["data"]
        used = client.get("/api/v1/limits").json()["data"]["usedToday"]
        refused = client.post(JOBS, json=body)

    assert job["billing"]["estimatedCost"] == job["billing"]["actualCost"] == 0.334
    assert (job["billing"]["currency"], used["cost"]) == ("USD", 0.334)
    assert refused.json()["error"]["details"]["quota"] == "costPerDay"


def test_limits_are_taken_away_by_null_and_what_is_left_out_stays(gateway):
    limit(gateway, "changer", weight=3, maxQueued=10)
    changed = limit(gateway, "changer", maxQueued=None)

    assert changed["limits"] == {
        "weight": 3.0, "maxQueued": None, "maxRunning": None, "imagesPerDay": None, "costPerDay": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"weight": 0}, "weight"),
        ({"maxQueued": -1}, "maxQueued"),
        ({"weight": "much"}, "weight"),
        ({"share": 2}, "share"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_its_name(gateway, body, field):
    with admin(gateway, "wrong") as client:
        answer = client.patch("/api/v1/orgs/wrong", json=body)

    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, field)


def test_only_an_administrator_of_the_org_sets_its_limits(gateway):
    with gateway.client("mine") as client, admin(gateway, "theirs") as stranger:
        answers = [
            client.patch("/api/v1/orgs/mine", json={"weight": 9}),
            stranger.patch("/api/v1/orgs/mine", json={"weight": 9}),
            stranger.get("/api/v1/orgs/mine"),
        ]

    assert [a.status_code for a in answers] == [403, 404, 404]


def test_operators_set_limits_from_the_command_line(gateway):
    def orgs(*told):
        command = [sys.executable, "-m", "app.cli", "orgs", *told]
        return subprocess.run(command, env=gateway.environment, capture_output=True, text=True, check=False)

    made = orgs("set", "cli", "--weight", "2.5", "--images-per-day", "100", "--json")
    again = orgs("set", "cli", "--images-per-day", "none")
    wrong = orgs("set", "cli", "--weight", "much")

    assert json.loads(made.stdout)["imagesPerDay"] == 100
    assert "weight        2.5" in again.stdout
    assert "imagesPerDay  none" in again.stdout
    assert (wrong.returncode, "weight" in wrong.stderr) == (1, True)


def test_the_queue_in_numbers(redis_url, simulator):
    with running_gateway(redis_url, simulator, workers=0) as gateway, gateway.client() as client:
        client.post(JOBS, json=MUG)
        client.post(JOBS, json={**GEMINI, "prompt": "Another"})
        stats = client.get("/api/v1/stats").json()["data"]

    assert (stats["ready"], stats["running"], stats["workers"], stats["slots"]) == (2, 0, 0, 0)
    assert 0 <= stats["oldestReadySeconds"] < 10
    assert stats["here"] == {"waits": 0, "streams": 0}


def test_a_dry_run_says_what_a_job_would_be_and_makes_none(gateway, shared_simulator):
    with gateway.client("dry") as client:
        body = {**GEMINI, "prompt": "Only asked", "size": "1000x500", "n": 3, "quality": "high"}
        told = client.post(f"{JOBS}?dryRun=true", json=body)
        wrong = client.post(f"{JOBS}?dryRun=true", json={**body, "n": 99})
        unclear = client.post(f"{JOBS}?dryRun=maybe", json=body)
        listed = client.get(JOBS).json()["data"]["jobs"]

    data = told.json()["data"]
    assert (told.status_code, data["object"], data["request"]["size"]) == (200, "image.job.estimate", "16:9")
    assert data["billing"] == {"state": "none", "providerCalls": 0, "estimatedCost": 0.117, "currency": "USD"}
    assert {w["field"] for w in data["warnings"]} == {"size", "quality"}
    assert data["estimatedSeconds"]["p50"] <= data["estimatedSeconds"]["p90"]
    assert (wrong.status_code, unclear.status_code, listed) == (400, 400, [])
    assert shared_simulator.bench.calls("Only asked") == []
