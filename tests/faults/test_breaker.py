"""Limits and the circuit breaker: shared by all workers, seen from outside."""

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway

JOBS = "/api/v1/jobs"
GEMINI = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox"}
AZURE = {"provider": "azure-openai", "model": "gpt-image-2", "prompt": "A red fox"}


def provider(client, name):
    shown = client.get("/api/v1/providers").json()["data"]["providers"]
    return next(p for p in shown if p["id"] == name)


def most_at_once(calls, seconds):
    """How many calls of a known length were open together at the most."""
    starts = sorted(c["started"] for c in calls)
    return max(sum(s <= t < s + seconds for s in starts) for t in starts)


def test_a_providers_limit_holds_over_all_workers_and_holds_up_no_other_provider(redis_url, simulator):
    limit = {"DARKROOM_PROVIDER_CONCURRENCY": "gemini=3"}
    with running_gateway(redis_url, simulator, workers=2, **limit) as gateway, gateway.client() as client:
        slow = [
            client.post(JOBS, json={**GEMINI, "prompt": "[delay=1] Queued"}).json()["data"]["id"] for _ in range(12)
        ]
        other = client.post(JOBS, json=AZURE, headers={"Prefer": "wait=20"}).json()["data"]
        seen = provider(client, "gemini")
        ended = [client.get(f"{JOBS}/{j}?wait=30&until=terminal").json()["data"]["status"] for j in slow]

    calls = simulator.bench.calls("Queued")
    assert other["status"] == "succeeded"
    assert (seen["limit"], seen["running"]) == (3, 3)
    assert set(ended) == {"succeeded"}
    assert most_at_once(calls, 0.95) == 3


def test_a_provider_that_fails_too_often_gets_nothing_until_one_job_has_found_it_well_again(redis_url, simulator):
    told = {"DARKROOM_BREAKER_FAILURES": "3", "DARKROOM_BREAKER_SECONDS": "8", "DARKROOM_ABSORB_SECONDS": "0"}
    with running_gateway(redis_url, simulator, workers=2, **told) as gateway, gateway.client() as client:
        for _ in range(3):
            client.post(JOBS, json={**GEMINI, "prompt": "[503] Down"}, headers={"Prefer": "wait=20"})
        opened = provider(client, "gemini")
        refused = client.post(JOBS, json=GEMINI)
        other = client.post(JOBS, json=AZURE, headers={"Prefer": "wait=20"}).json()["data"]["status"]
        calls = len(simulator.bench.calls())
        wait_until(lambda: client.post(JOBS, json=GEMINI).status_code == 202, what="the next acceptance")
        wait_until(lambda: provider(client, "gemini")["breaker"]["state"] == "closed", what="the recovery")
        after = client.post(JOBS, json=GEMINI, headers={"Prefer": "wait=20"}).json()["data"]["status"]

    error = refused.json()["error"]
    assert opened["breaker"]["state"] == "open"
    assert 1 <= opened["breaker"]["retryAfterSeconds"] <= 8
    assert (refused.status_code, error["details"]["reason"]) == (503, "circuit_open")
    assert int(refused.headers["retry-after"]) >= 1
    assert (other, calls, after) == ("succeeded", 4, "succeeded")


def test_an_accepted_job_waits_for_the_breaker_and_a_probe_that_fails_opens_it_again(redis_url, simulator):
    told = {"DARKROOM_BREAKER_FAILURES": "2", "DARKROOM_BREAKER_SECONDS": "2"}
    with running_gateway(redis_url, simulator, **told) as gateway, gateway.client() as client:
        accepted = [client.post(JOBS, json={**GEMINI, "prompt": "[503x4] Down"}).json()["data"]["id"] for _ in range(2)]
        wait_until(lambda: provider(client, "gemini")["breaker"]["state"] == "open", what="the opening")
        ended = [client.get(f"{JOBS}/{j}?wait=50&until=terminal").json()["data"]["status"] for j in accepted]

    assert ended == ["succeeded", "succeeded"]


def test_a_refusal_of_what_was_asked_says_nothing_against_the_provider(redis_url, simulator):
    told = {"DARKROOM_BREAKER_FAILURES": "2"}
    with running_gateway(redis_url, simulator, **told) as gateway, gateway.client() as client:
        for _ in range(4):
            client.post(JOBS, json={**GEMINI, "prompt": "[refuse] Never"}, headers={"Prefer": "wait=20"})
        seen = provider(client, "gemini")
        unset = provider(client, "openai")

    assert seen["breaker"] == {"state": "closed"}
    assert (seen["configured"], unset["simulated"]) == (True, False)
