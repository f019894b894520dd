"""Face 1's streams where something goes wrong, or the caller does not stay."""

import json
import shutil
import threading
from pathlib import Path

import httpx
import pytest

from tests.acceptance.test_openai_face import GENERATIONS, SMALL, refused
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

STREAM = {**SMALL, "stream": True}


@pytest.fixture(scope="module")
def client(gateway):
    with gateway.client("streams") as client:
        yield client


def events(answer):
    """Name and data of each event; comments left out."""
    blocks = [block for block in answer.text.split("\n\n") if block.startswith("event: ")]
    return [(block[7:].partition("\n")[0], json.loads(block.partition("data: ")[2])) for block in blocks]


def test_a_stream_of_two_pictures_ends_each_of_them_and_tells_their_usage_once(client):
    answer = client.post(GENERATIONS, json={**STREAM, "prompt": "two at once", "n": 2})

    told = events(answer)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [name for name, _ in told] == ["image_generation.completed"] * 2
    assert [data["usage"]["total_tokens"] > 0 for _, data in told] == [False, True]
    assert "simulated" not in told[-1][1]


def test_what_a_model_ignores_is_said_in_the_last_event(client):
    told = events(client.post(GENERATIONS, json={**STREAM, "prompt": "styled", "style": "vivid"}))

    assert "style" in [warning.get("field") for warning in told[-1][1]["warnings"]]


def test_a_model_that_streams_nothing_ends_with_its_picture(client):
    body = {"model": "gemini-3-pro-image", "prompt": "no previews", "stream": True, "partial_images": 2}

    assert [name for name, _ in events(client.post(GENERATIONS, json=body))] == ["image_generation.completed"]


def test_a_job_that_fails_after_its_first_preview_ends_the_stream_with_an_error(client, shared_simulator):
    prompt = "breaks [cut-stream] [delay=0.6]"

    told = events(client.post(GENERATIONS, json={**STREAM, "prompt": prompt, "partial_images": 2}))

    assert told[0][0] == "image_generation.partial_image"
    assert (told[-1][0], told[-1][1]["error"]["code"]) == ("error", "service_unavailable")
    assert len(shared_simulator.bench.calls(prompt)) == 1


def test_who_leaves_a_stream_before_its_first_event_gets_the_picture_when_he_asks_again(gateway, shared_simulator):
    body = {**STREAM, "prompt": "left early [delay=2]"}
    with gateway.asking(GENERATIONS, body, "streams"):
        wait_until(lambda: shared_simulator.bench.calls("left early [delay=2]") != [], what="the call")

    with gateway.client("streams") as client:
        again = client.post(GENERATIONS, json=body)

    assert again.headers.get("x-job-adopted") == "true"
    assert events(again)[-1][0] == "image_generation.completed"
    assert len(shared_simulator.bench.calls("left early [delay=2]")) == 1


@pytest.mark.parametrize(
    ("more", "param"), [({"response_format": "url"}, "response_format"), ({"async": True}, "async")]
)
def test_what_cannot_go_with_a_stream_is_refused(client, more, param):
    refused(client.post(GENERATIONS, json={**STREAM, "prompt": "x", **more}), 400, "invalid_value", param)


def test_streams_that_wait_for_their_first_event_are_counted(shared_simulator):
    def held(gateway):
        with gateway.client() as client:
            client.post(GENERATIONS, json={**STREAM, "prompt": "held [delay=2]"})

    with running_redis() as redis, running_gateway(redis.url, shared_simulator, DARKROOM_STREAMS="1") as gateway:
        holder = threading.Thread(target=held, args=(gateway,))
        holder.start()
        wait_until(lambda: shared_simulator.bench.calls("held [delay=2]"), what="the first stream's call")
        with gateway.client() as client:
            beside = client.post(GENERATIONS, json={**STREAM, "prompt": "beside"})
            holder.join()
            after = client.post(GENERATIONS, json={**STREAM, "prompt": "after"})

    refused(beside, 429, "too_many_streams")
    assert after.status_code == 200


def test_a_picture_that_is_gone_is_told_with_its_job_and_is_not_to_be_asked_again(gateway, client):
    body, headers = {**SMALL, "prompt": "to be lost"}, {"Idempotency-Key": "lost-picture"}
    first = client.post(GENERATIONS, json=body, headers=headers)
    shutil.rmtree(Path(gateway.environment["DARKROOM_DATA_DIR"]) / "blobs" / "files" / "images" / "streams")

    again = client.post(GENERATIONS, json=body, headers=headers)

    refused(again, 404, "not_found")
    assert again.headers["x-job-id"] == first.headers["x-job-id"]
    assert again.headers["x-should-retry"] == "false"


def test_a_preview_is_passed_on_while_its_picture_is_still_being_made(client, gateway):
    body = {**STREAM, "prompt": "as they come [delay=2]", "partial_images": 1}
    with client.stream("POST", GENERATIONS, json=body) as answer, gateway.client("streams") as other:
        lines = answer.iter_lines()
        first = next(line for line in lines if line.startswith("event: "))
        job = other.get(f"/api/v1/jobs/{answer.headers['x-job-id']}").json()["data"]
        rest = [line for line in lines if line.startswith("event: ")]

    assert (first, job["status"]) == ("event: image_generation.partial_image", "running")
    assert httpx.get(job["preview"]["url"]).status_code == 200
    assert rest == ["event: image_generation.completed"]
