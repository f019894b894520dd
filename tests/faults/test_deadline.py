"""A job whose end comes before its call's: it ends in time, and the call, which is paid for, goes on."""

import hashlib

import httpx

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway

JOBS = "/api/v1/jobs"
GEMINI = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview"}
SLOW = {**GEMINI, "prompt": "[delay=9] A red fox", "cancelAfter": 5}


def breaker(client, name):
    shown = client.get("/api/v1/providers").json()["data"]["providers"]
    return next(p for p in shown if p["id"] == name)["breaker"]["state"]


def test_a_call_that_outlasts_its_job_is_not_cut_and_what_it_brings_is_salvaged(redis_url, simulator):
    with running_gateway(redis_url, simulator) as gateway, gateway.client() as client:
        job_id = client.post(JOBS, json=SLOW).json()["data"]["id"]
        ended = client.get(f"{JOBS}/{job_id}?wait=30&until=terminal").json()["data"]
        brought = simulator.bench.calls()[0]["pictures"]
        wait_until(lambda: "result" in client.get(f"{JOBS}/{job_id}").json()["data"], what="the salvage")
        late = client.get(f"{JOBS}/{job_id}").json()["data"]
        picture = httpx.get(late["result"]["url"]).content

    (call,) = simulator.bench.calls()
    assert (ended["status"], ended["error"]["details"]["reason"]) == ("failed", "deadline")
    assert (ended["billing"]["state"], brought) == ("possibly_billed", [])
    assert (late["status"], late["error"]["details"]["salvaged"], late["billing"]["state"]) == (
        "failed",
        True,
        "billed",
    )
    assert call["pictures"] == [hashlib.sha256(picture).hexdigest()]


def test_deadlines_of_one_org_say_nothing_against_the_provider(redis_url, simulator):
    told = {"DARKROOM_BREAKER_FAILURES": "3", "DARKROOM_BREAKER_SECONDS": "60"}
    with running_gateway(redis_url, simulator, **told) as gateway:
        with gateway.client("hasty") as client:
            made = [client.post(JOBS, json=SLOW).json()["data"]["id"] for _ in range(6)]
            ended = [client.get(f"{JOBS}/{j}?wait=30&until=terminal").json()["data"]["status"] for j in made]
            wait_until(lambda: all(c["pictures"] for c in simulator.bench.calls()), what="the answers")
            state = breaker(client, "gemini")
        with gateway.client("patient") as client:
            other = client.post(JOBS, json={**GEMINI, "prompt": "A fox"}, headers={"Prefer": "wait=30"})

    assert ended == ["failed"] * 6
    assert state == "closed"
    assert (other.status_code, other.json()["data"]["status"]) == (200, "succeeded")
