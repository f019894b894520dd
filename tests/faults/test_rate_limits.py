"""A provider that limits our rate: its jobs wait for it, at nobody's expense, and few calls are refused."""

import pytest

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway

JOBS = "/api/v1/jobs"
GEMINI = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview"}


@pytest.mark.parametrize("retry_after", [None, 1])
def test_jobs_faster_than_a_providers_rate_all_succeed_and_few_calls_are_refused(redis_url, simulator, retry_after):
    simulator.bench.rate, simulator.bench.retry_after = 10, retry_after
    impatient = {"DARKROOM_ABSORB_SECONDS": "2", "DARKROOM_WORKER_SLOTS": "8"}
    with running_gateway(redis_url, simulator, workers=2, **impatient) as gateway, gateway.client() as client:
        items = [{"prompt": f"Fox {number}"} for number in range(60)]
        batch = client.post("/api/v1/batches", json={"defaults": GEMINI, "items": items}).json()["data"]
        jobs = [client.get(f"{JOBS}/{item['jobId']}?wait=60&until=terminal").json()["data"] for item in batch["items"]]

    calls = simulator.bench.calls()
    refused = [c for c in calls if c["fault"] == "429"]
    assert [job["status"] for job in jobs] == ["succeeded"] * 60
    assert len(calls) - len(refused) == 60
    assert len(refused) <= len(calls) / 4


def test_a_job_that_a_rate_limit_holds_up_ends_by_its_own_deadline_alone(redis_url, simulator):
    asked = {**GEMINI, "prompt": "[429] Never in time", "cancelAfter": 6}
    with running_gateway(redis_url, simulator, DARKROOM_ABSORB_SECONDS="0") as gateway, gateway.client() as client:
        job = client.post(JOBS, json=asked, headers={"Prefer": "wait=60"}).json()["data"]

    details = job["error"]["details"]
    assert (job["status"], details["reason"], details["safeToRetry"]) == ("failed", "provider_rate_limited", True)
    assert job["finishedAt"] >= job["deadline"]["cancelAt"]
    assert (job["billing"]["state"], len(job["attempts"])) == ("none", 2)
    assert {a["outcome"] for a in job["attempts"]} == {"throttled"}


def test_what_a_provider_says_of_its_return_holds_for_every_job_and_shows(redis_url, simulator):
    with running_gateway(redis_url, simulator, workers=2) as gateway, gateway.client() as client:
        first = client.post(JOBS, json={**GEMINI, "prompt": "[429x1] [retry-after=4] First"}).json()["data"]["id"]
        wait_until(lambda: rate_limit(client) is not None, what="the refusal")
        shown = rate_limit(client)
        others = [client.post(JOBS, json={**GEMINI, "prompt": f"Other {n}"}).json()["data"] for n in range(3)]
        held = client.get(f"{JOBS}/{others[0]['id']}").json()["data"]
        ended = [
            client.get(f"{JOBS}/{job_id}?wait=60&until=terminal").json()["data"]["status"]
            for job_id in (first, *(o["id"] for o in others))
        ]

    refused, *served = simulator.bench.calls()
    assert ended == ["succeeded"] * 4
    assert (held["status"], held["phase"]) == ("queued", "throttled")
    assert 1 <= shown["retryAfterSeconds"] <= 4
    assert min(call["started"] for call in served) >= refused["started"] + 4


def test_the_calls_of_one_job_keep_the_pace_as_well(redis_url, simulator):
    simulator.bench.rate, simulator.bench.retry_after = 2, None
    with running_gateway(redis_url, simulator, DARKROOM_ABSORB_SECONDS="0") as gateway, gateway.client() as client:
        asked = {**GEMINI, "prompt": "Six of them", "n": 6}
        job = client.post(JOBS, json=asked, headers={"Prefer": "wait=60"}).json()["data"]

    calls = simulator.bench.calls()
    assert (job["status"], len(job["result"]["images"])) == ("succeeded", 6)
    assert sum(call["fault"] is None for call in calls) == 6
    assert sum(call["fault"] == "429" for call in calls) <= 8


def rate_limit(client):
    """What is told of the provider's rate; None: nothing."""
    providers = client.get("/api/v1/providers").json()["data"]["providers"]
    return next(p for p in providers if p["id"] == "gemini").get("rateLimit")
