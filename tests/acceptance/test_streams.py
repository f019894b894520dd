"""Server-sent events: snapshot, ids, resumption on another replica, the end."""

import json

import pytest

from tests.acceptance.conftest import AGENTS, JOBS, MUG
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.neighbours.webhook_receiver import running_receiver

SSE = {"Accept": "text/event-stream"}
SLOW = {**MUG, "prompt": "[delay=1] A slow mug", "n": 2}


def frames(lines):
    """Each frame as a dictionary; comments as `{"comment": …}`."""
    frame = {}
    for line in lines:
        if line.startswith(":"):
            yield {"comment": line[1:].strip()}
        elif line:
            name, _, value = line.partition(": ")
            frame[name] = json.loads(value) if name == "data" else value
        elif frame:
            yield frame
            frame = {}


def read(client, path, *, most=None, method="GET", body=None, **headers):
    """The frames of a stream until it ends, or until `most` have come and the connection is cut."""
    found = []
    with client.stream(method, path, headers={**SSE, **headers}, json=body) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        for frame in frames(answer.iter_lines()):
            if "comment" not in frame:
                found.append(frame)
            if most is not None and len(found) == most:
                break
    return found


@pytest.fixture(scope="module")
def pair(shared_simulator):
    """Two API processes on one Redis."""
    hooks = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    with (
        running_redis() as redis,
        running_gateway(redis.url, shared_simulator, **hooks) as one,
        running_gateway(redis.url, shared_simulator, workers=0, PUBLIC_BASE_URL=one.url) as other,
    ):
        yield one, other


@pytest.fixture
def client(pair):
    with pair[0].client() as client:
        yield client


def test_a_stream_begins_with_the_job_and_ends_with_its_end(client):
    job_id = client.post(JOBS, json=SLOW).json()["data"]["id"]

    found = read(client, f"{JOBS}/{job_id}/events")

    assert (found[0]["event"], found[0]["data"]["data"]["id"], "id" in found[0]) == ("snapshot", job_id, False)
    assert [f["event"] for f in found[1:3]] == ["image.job.queued", "image.job.started"]
    assert found[-1]["event"] == "image.job.succeeded"
    assert all(f["id"] == str(f["data"]["sequence"]) for f in found[1:])
    assert [f["data"] for f in found[1:]] == client.get(f"{JOBS}/{job_id}/events").json()["data"]


@pytest.mark.parametrize("path", [AGENTS, JOBS])
def test_a_post_that_accepts_events_creates_and_follows(client, path):
    body = {**MUG, "prompt": "Followed"}

    found = read(client, path, method="POST", body=body)

    assert found[0]["event"] == "snapshot"
    assert found[-1]["data"]["data"]["result"]["url"].startswith("http")


def test_cut_after_every_event_and_taken_up_at_the_other_process_nothing_is_missing_or_twice(pair):
    one, other = pair
    with one.client() as here, other.client() as there, running_receiver() as receiver:
        events = [f"image.job.{name}" for name in ("queued", "started", "checkpointed", "succeeded")]
        webhook = {"url": receiver.url, "events": events}
        job_id = here.post(JOBS, json={**SLOW, "webhook": webhook}).json()["data"]["id"]
        found, last, turn = [], None, 0
        while not found or found[-1]["event"] != "image.job.succeeded":
            client = (here, there)[turn % 2]
            headers = {} if last is None else {"Last-Event-ID": last}
            (*_, frame) = read(client, f"{JOBS}/{job_id}/events", most=2 if last is None else 1, **headers)
            found.append(frame)
            last, turn = frame["id"], turn + 1
        listed = here.get(f"{JOBS}/{job_id}/events").json()["data"]
        posts = receiver.until(len([e for e in listed if e["type"] in events]))

    assert [f["data"] for f in found] == listed
    told = {p.event["id"]: p.event for p in posts}
    assert [told[e["id"]] for e in listed if e["type"] in events] == [e for e in listed if e["type"] in events]


def test_whoever_has_seen_the_end_gets_204_and_whoever_has_not_the_rest(client):
    job_id = client.post(JOBS, json=MUG, headers={"Prefer": "wait=30"}).json()["data"]["id"]
    events = client.get(f"{JOBS}/{job_id}/events").json()["data"]

    seen = client.get(f"{JOBS}/{job_id}/events", headers={**SSE, "Last-Event-ID": str(events[-1]["sequence"])})
    rest = read(client, f"{JOBS}/{job_id}/events", **{"Last-Event-ID": str(events[0]["sequence"])})

    assert (seen.status_code, seen.content) == (204, b"")
    assert [f["data"] for f in rest] == events[1:]


@pytest.mark.parametrize("last", ["", "x", "-1", "1.5", "9" * 30])
def test_an_id_that_is_none_of_ours_is_refused(client, last):
    job_id = client.post(JOBS, json=MUG, headers={"Prefer": "wait=30"}).json()["data"]["id"]

    answer = client.get(f"{JOBS}/{job_id}/events", headers={**SSE, "Last-Event-ID": last})

    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, "Last-Event-ID")


def test_streams_and_waits_are_bounded_and_the_next_is_told_to_come_back(redis_url, shared_simulator):
    told = {"DARKROOM_STREAMS": "1", "DARKROOM_WAITS": "1"}
    with running_gateway(redis_url, shared_simulator, workers=0, **told) as gateway, gateway.client() as client:
        job_id = client.post(JOBS, json=MUG).json()["data"]["id"]
        with client.stream("GET", f"{JOBS}/{job_id}/events", headers=SSE) as open_stream:
            lines = open_stream.iter_lines()  # kept: what is let go of is closed
            next(lines)
            refused = client.get(f"{JOBS}/{job_id}/events", headers=SSE)
        with gateway.asking(AGENTS, MUG):
            wait_until(lambda: len(client.get(JOBS).json()["data"]["jobs"]) == 2, what="the first wait")
            waiting = client.post(AGENTS, json=MUG)
        wait_until(lambda: _freed(client, job_id), what="room")

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "TOO_MANY_STREAMS")
    assert "retry-after" in refused.headers
    assert (waiting.status_code, waiting.json()["error"]["details"]["reason"]) == (503, "waiters_full")


def _freed(client, job_id):
    with client.stream("GET", f"{JOBS}/{job_id}/events", headers=SSE) as again:
        return again.status_code == 200


def test_an_api_that_stops_ends_its_streams_and_another_goes_on(pair, shared_simulator):
    one, _ = pair
    with (
        running_gateway(one.environment["REDIS_URL"], shared_simulator, workers=0) as leaving,
        leaving.client() as client,
    ):
        body = {**MUG, "prompt": "[delay=3] Outlives the stream"}
        job_id = client.post(JOBS, json=body).json()["data"]["id"]
        found = []
        with client.stream("GET", f"{JOBS}/{job_id}/events", headers=SSE) as answer:
            for frame in (f for f in frames(answer.iter_lines()) if "event" in f):
                found.append(frame)
                if frame["event"] == "image.job.started":
                    leaving.api.terminate()
        leaving.api.wait(40)
    with one.client() as client:
        rest = read(client, f"{JOBS}/{job_id}/events", **{"Last-Event-ID": found[-1]["id"]})

    assert found[-1]["event"] == "image.job.started"
    assert rest[-1]["event"] == "image.job.succeeded"
