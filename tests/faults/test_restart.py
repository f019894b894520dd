"""Deploys and outages of the parts beside the worker."""

import threading
import time

from app.server.process import GRACE_SECONDS
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway

SLOW = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "[delay=8] A red fox"}


def test_an_api_told_to_stop_answers_its_waits_at_once_and_the_job_goes_on(redis_url, simulator):
    with running_gateway(redis_url, simulator) as gateway, gateway.client() as client:
        answers = []
        waiter = threading.Thread(target=lambda: answers.append(client.post("/api/v1/agents/images", json=SLOW)))
        waiter.start()
        wait_until(lambda: len(simulator.bench.calls()) == 1, what="the call")
        begun = time.monotonic()
        gateway.api.terminate()
        waiter.join(40)
        took = time.monotonic() - begun
        gateway.api.wait(40)
        gateway.start_api()
        job_id = answers[0].headers["x-job-id"]
        job = client.get(f"/api/v1/jobs/{job_id}?wait=20&until=terminal").json()["data"]

    assert answers[0].status_code == 504
    assert answers[0].json()["error"]["details"]["reason"] == "wait_expired"
    assert took < GRACE_SECONDS
    assert job["status"] == "succeeded"
    assert len(simulator.bench.calls()) == 1
