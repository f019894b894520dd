"""A provider that drops the socket once it has read the order: nobody knows what it made, nobody asks twice unasked."""

import pytest

from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

JOBS = "/api/v1/jobs"
KINDS = {
    "azure-openai": {"provider": "azure-openai", "model": "gpt-image-2"},
    "openai": {"provider": "openai", "model": "gpt-image-2"},
    "gemini": {"provider": "gemini", "model": "gemini-3.1-flash-image-preview"},
}


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    with running_redis() as redis, running_gateway(redis.url, shared_simulator) as running:
        yield running


@pytest.mark.parametrize("provider", KINDS)
def test_a_call_that_was_cut_is_of_unknown_outcome_and_is_not_made_again(gateway, shared_simulator, provider):
    prompt = f"[drop] Cut by {provider}"
    with gateway.client() as client:
        body = {**KINDS[provider], "prompt": prompt}
        job = client.post(JOBS, json=body, headers={"Prefer": "wait=60"}).json()["data"]

    details = job["error"]["details"]
    assert (job["status"], details["reason"], details["safeToRetry"]) == ("failed", "outcome_unknown", False)
    assert (job["billing"]["state"], job["billing"]["providerCalls"]) == ("possibly_billed", 1)
    assert len(shared_simulator.bench.calls(f"Cut by {provider}")) == 1


@pytest.mark.parametrize("provider", KINDS)
def test_where_the_job_asked_for_it_another_call_is_made_and_both_are_listed(gateway, shared_simulator, provider):
    prompt = f"[dropx1] Cut once by {provider}"
    with gateway.client() as client:
        body = {**KINDS[provider], "prompt": prompt, "onAmbiguous": "retry"}
        job = client.post(JOBS, json=body, headers={"Prefer": "wait=60"}).json()["data"]

    assert job["status"] == "succeeded"
    assert [(a["outcome"], a.get("charged")) for a in job["attempts"]] == [("unknown", None), ("succeeded", True)]
    assert len(shared_simulator.bench.calls(f"Cut once by {provider}")) == 2


@pytest.mark.parametrize(("asked", "calls"), [({}, 2), ({"maxCalls": 1}, 1), ({"maxCalls": 4}, 4)])
def test_a_provider_that_cuts_every_call_is_paid_for_as_many_as_the_request_allows(
    gateway, shared_simulator, asked, calls
):
    prompt = f"[drop] Cut at {calls}"
    body = {**KINDS["openai"], "prompt": prompt, "quality": "high", "onAmbiguous": "retry", **asked}
    with gateway.client() as client:
        estimate = client.post(f"{JOBS}?dryRun=true", json=body).json()["data"]["billing"]["estimatedCost"]
        job = client.post(JOBS, json=body, headers={"Prefer": "wait=60"}).json()["data"]
        job = client.get(f"{JOBS}/{job['id']}?wait=60&until=terminal").json()["data"]

    billing = job["billing"]
    assert (job["status"], job["error"]["details"]["reason"]) == ("failed", "outcome_unknown")
    assert len(shared_simulator.bench.calls(f"Cut at {calls}")) == billing["providerCalls"] == calls
    assert estimate == billing["estimatedCost"] == billing["actualCostAtMost"] > 0
    assert "actualCost" not in billing
