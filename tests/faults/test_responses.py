"""A response outlives the processes that serve it, and its picture is bought once."""

import json
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


def events(lines):
    """The events as they come."""
    return (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


def test_a_stream_goes_on_in_the_next_process_after_the_last_event_that_was_seen(redis_url, simulator):
    body = {**BODY, "input": "faults: a stream [delay=3]", "stream": True}
    with running_gateway(redis_url, simulator) as gateway:
        with gateway.client() as client, client.stream("POST", "/v1/responses", json=body) as stream:
            coming = events(stream.iter_lines())
            seen = [next(coming) for _ in range(4)]
            gateway.api.kill()
            gateway.api.wait()
        gateway.start_api()

        path = f"/v1/responses/{seen[0]['response']['id']}"
        query = {"stream": "true", "starting_after": str(seen[-1]["sequence_number"])}
        with gateway.client() as client, client.stream("GET", path, params=query) as stream:
            rest = list(events(stream.iter_lines()))
    assert [event["sequence_number"] for event in (*seen, *rest)] == list(range(len(seen) + len(rest)))
    assert rest[-1]["type"] == "response.completed"
    assert rest[-1]["response"]["output"][0]["result"]
    assert len(simulator.bench.calls("faults: a stream")) == 1
