"""A response outlives the processes that serve it, and its picture is bought once."""

import time

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway

BODY = {
    "model": "gpt-4.1-mini",
    "input": "faults: a response",
    "tools": [{"type": "image_generation", "model": "gpt-image-2"}],
    "background": True,
}


def test_a_response_survives_both_processes_and_is_bought_once(redis_url, simulator):
    with running_gateway(redis_url, simulator) as gateway:
        gateway.workers[-1].kill()
        gateway.workers[-1].wait()
        gateway.workers.clear()
        with gateway.client() as client:
            begun = client.post("/v1/responses", json=BODY).json()
        assert begun["status"] == "queued"

        gateway.api.kill()
        gateway.api.wait()
        gateway.start_api()
        gateway.start_worker()

        with gateway.client() as client:
            own = f"/v1/responses/{begun['id']}"
            wait_until(lambda: client.get(own).json()["status"] == "completed", 60, "the picture")
            found = client.get(own).json()
    assert found["output"][0]["result"]
    assert found["created_at"] <= time.time()
    assert len(simulator.bench.calls(BODY["input"])) == 1
