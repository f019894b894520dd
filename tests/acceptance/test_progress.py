"""Progress as server-sent events: what sockets are told, for one job and for every client that can read a stream."""

import pytest

from tests.acceptance.conftest import JOBS, MUG
from tests.acceptance.test_streams import frames
from tests.neighbours.gateway import token
from tests.neighbours.socket_client import listening

SLOW = {**MUG, "prompt": "[delay=3.5] A slow mug"}


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def told(client, job_id):
    with client.stream("GET", f"/v1/images/progress/{job_id}") as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert (answer.headers["x-accel-buffering"], answer.headers["x-job-id"]) == ("no", job_id)
        return [(frame["event"], frame["data"]) for frame in frames(answer.iter_lines()) if "event" in frame]


def test_a_stream_tells_growing_estimates_and_ends_with_the_picture(client):
    job_id = client.post(JOBS, json=SLOW).json()["data"]["id"]

    heard = told(client, job_id)

    percents = [data["progress"] for _, data in heard[:-1]]
    assert percents == sorted(percents)
    assert {event for event, _ in heard[:-1]} == {"progress"}
    assert {data["source"] for _, data in heard[:-1] if data["progress"]} == {"estimated"}
    assert (heard[-1][0], heard[-1][1]["job_id"]) == ("completed", job_id)
    assert client.get(heard[-1][1]["data"][0]["url"]).content.startswith(b"\x89PNG")


def test_a_stream_says_within_a_quarter_of_a_minute_that_it_is_alive(client):
    job_id = client.post(JOBS, json={**MUG, "prompt": "[delay=17] A mug that takes its time"}).json()["data"]["id"]
    with client.stream("GET", f"/v1/images/progress/{job_id}") as answer:
        found = list(frames(answer.iter_lines()))

    assert {"comment": "ping"} in found
    assert found[-1]["event"] == "completed"


@pytest.mark.anyio
async def test_a_stream_and_a_socket_end_with_the_same_words(gateway, client):
    async with listening(gateway.url, token("acme")) as listener:
        job_id = client.post(JOBS, json={**MUG, "n": 2}).json()["data"]["id"]
        by_socket = (await listener.until("completed", job_id))[-1]

    assert told(client, job_id) == [by_socket]
    assert [picture["index"] for picture in by_socket[1]["data"]] == [0, 1]


def test_a_canceled_job_ends_a_stream_with_its_error(client):
    job_id = client.post(JOBS, json=SLOW).json()["data"]["id"]
    client.post(f"{JOBS}/{job_id}/cancel")

    heard = told(client, job_id)

    assert (heard[-1][0], heard[-1][1]["error"]["code"]) == ("failed", "JOB_CANCELED")


def test_a_job_that_is_erased_while_it_is_followed_ends_the_stream(gateway, client):
    job_id = client.post(JOBS, json=SLOW).json()["data"]["id"]
    with client.stream("GET", f"/v1/images/progress/{job_id}") as answer, gateway.client() as another:
        found = frames(answer.iter_lines())
        next(found)
        another.delete(f"{JOBS}/{job_id}")
        rest = [frame["event"] for frame in found if "event" in frame]

    assert rest[-1] == "failed"
    assert rest.count("failed") == 1


@pytest.mark.parametrize("job_id", ["job_" + "0" * 30, "no id"])
def test_a_job_that_is_not_there_is_told_in_the_words_of_the_face(client, job_id):
    answer = client.get(f"/v1/images/progress/{job_id}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_another_orgs_job_is_not_there_either(gateway, client):
    job_id = client.post(JOBS, json=MUG).json()["data"]["id"]
    with gateway.client("other") as stranger:
        answer = stranger.get(f"/v1/images/progress/{job_id}")

    assert answer.status_code == 404
