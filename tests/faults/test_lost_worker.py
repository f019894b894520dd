"""A worker that dies: its jobs go on, and nothing is bought again."""

import time

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway

FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "[delay=3] A red fox"}


def test_a_worker_killed_in_a_call_leaves_an_unknown_outcome_and_the_call_is_never_repeated(redis_url, simulator):
    with (
        running_gateway(redis_url, simulator, workers=1, DARKROOM_LEASE_SECONDS="3") as gateway,
        gateway.client() as client,
    ):
        job_id = client.post("/api/v1/jobs", json=FOX).json()["data"]["id"]
        asked = client.post("/api/v1/jobs", json={**FOX, "onAmbiguous": "retry"}).json()["data"]["id"]
        wait_until(lambda: len(simulator.bench.calls()) == 2, what="both calls")
        gateway.workers[0].kill()
        gateway.start_worker()
        failed = client.get(f"/api/v1/jobs/{job_id}?wait=60&until=terminal").json()["data"]
        retried = client.get(f"/api/v1/jobs/{asked}?wait=60&until=terminal").json()["data"]

    assert (failed["status"], failed["error"]["details"]["reason"]) == ("failed", "outcome_unknown")
    assert (failed["billing"]["state"], failed["billing"]["providerCalls"]) == ("possibly_billed", 1)
    assert failed["error"]["details"]["safeToRetry"] is False
    assert retried["status"] == "succeeded"
    assert [a["outcome"] for a in retried["attempts"]] == ["unknown", "succeeded"]
    assert len(simulator.bench.calls()) == 3


def test_a_worker_told_to_stop_finishes_what_runs_and_begins_nothing_new(redis_url, simulator):
    with (
        running_gateway(redis_url, simulator, workers=1, DARKROOM_WORKER_SLOTS="1") as gateway,
        gateway.client() as client,
    ):
        running, waiting = [client.post("/api/v1/jobs", json=FOX).json()["data"]["id"] for _ in range(2)]
        wait_until(lambda: len(simulator.bench.calls()) == 1, what="the first call")
        gateway.workers[0].terminate()
        assert gateway.workers[0].wait(60) == 0
        states = [client.get(f"/api/v1/jobs/{j}").json()["data"]["status"] for j in (running, waiting)]
        begun = time.monotonic()
        gateway.start_worker()
        later = client.get(f"/api/v1/jobs/{waiting}?wait=60&until=terminal").json()["data"]

    assert states == ["succeeded", "queued"]
    assert later["status"] == "succeeded"
    assert time.monotonic() - begun < 40
    assert len(simulator.bench.calls()) == 2
