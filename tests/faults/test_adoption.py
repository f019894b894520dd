"""One request, one picture: keys join, and a result that nobody got is given to whoever asks the same again."""

import asyncio
import threading
import time

import httpx
import pytest

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

AGENTS, JOBS = "/api/v1/agents/images", "/api/v1/jobs"
GEMINI = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview"}


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, DARKROOM_WAIT_SECONDS="2") as running:
        yield running


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def request_for(text, delay=4):
    return {**GEMINI, "prompt": f"[delay={delay}] {text}"}


def finished(client, job_id, status="succeeded"):
    """Looked at through the list, which hands out no result."""

    def there():
        jobs = client.get(f"{JOBS}?limit=100").json()["data"]["jobs"]
        return next(j for j in jobs if j["id"] == job_id)["status"] == status

    wait_until(there, what="the end")


def test_a_wait_that_ended_and_the_same_key_again_give_one_picture(client, shared_simulator):
    key = {"Idempotency-Key": "line-one"}
    first = client.post(AGENTS, json=request_for("Keyed"), headers=key)
    asked = client.post(AGENTS, json=request_for("Keyed"), headers={**key, "Prefer": "wait=1"})
    finished(client, asked.json()["data"]["id"])
    again = client.post(AGENTS, json=request_for("Keyed"), headers=key)
    once_more = client.post(JOBS, json=request_for("Keyed"), headers={**key, "Prefer": "wait=2"})

    assert (first.status_code, asked.status_code, again.status_code) == (504, 202, 200)
    assert asked.headers["preference-applied"] == "wait=1"
    assert again.headers["idempotency-replayed"] == "true"
    assert once_more.json()["data"]["result"] == again.json()["data"]
    assert len(shared_simulator.bench.calls("Keyed")) == 1


def test_fifty_at_once_with_one_key_through_two_faces_are_one_job_and_one_call(gateway, shared_simulator):
    async def all_of_them():
        async with gateway.async_client() as client:
            headers = {"Idempotency-Key": "fifty"}
            posts = [
                client.post((AGENTS, JOBS)[i % 2], json=request_for("Fifty", 0.2), headers=headers) for i in range(50)
            ]
            return await asyncio.gather(*posts)

    answers = asyncio.run(all_of_them())

    assert {a.status_code for a in answers[0::2]} == {200}
    assert {a.status_code for a in answers[1::2]} <= {200, 202}
    assert len({a.headers["x-job-id"] for a in answers}) == 1
    assert len(shared_simulator.bench.calls("Fifty")) == 1


def test_the_same_call_after_504_gets_the_picture_of_the_first_while_it_runs_or_when_it_is_done(
    client, shared_simulator
):
    running = client.post(AGENTS, json=request_for("Still running", 2.5))
    joined = client.post(AGENTS, json=request_for("Still running", 2.5))
    done = client.post(AGENTS, json=request_for("Done meanwhile", 2.5))
    finished(client, done.headers["x-job-id"])
    got = client.post(AGENTS, json=request_for("Done meanwhile", 2.5))

    for first, second in ((running, joined), (done, got)):
        assert (first.status_code, second.status_code) == (504, 200)
        assert second.headers["x-job-adopted"] == "true"
        assert second.headers["x-job-id"] == first.headers["x-job-id"]
    assert (
        len(shared_simulator.bench.calls("Still running")) == len(shared_simulator.bench.calls("Done meanwhile")) == 1
    )


def test_a_job_is_adopted_once(client, shared_simulator):
    first = client.post(AGENTS, json=request_for("Once", 3))
    finished(client, first.headers["x-job-id"])
    answers = [client.post(AGENTS, json=request_for("Once", 3)) for _ in range(2)]

    assert [a.headers.get("x-job-adopted") for a in answers] == ["true", None]
    assert len(shared_simulator.bench.calls("Once")) == 2


def test_who_asks_a_third_time_gets_the_picture_of_the_first(client, shared_simulator):
    answers = [client.post(AGENTS, json=request_for("Thrice", 5))]
    while answers[-1].status_code == 504:
        answers.append(client.post(AGENTS, json=request_for("Thrice", 5)))

    assert len(answers) > 2
    assert len({answer.headers["x-job-id"] for answer in answers}) == 1
    assert len(shared_simulator.bench.calls("Thrice")) == 1


def test_a_result_that_somebody_has_is_not_given_to_another(client, shared_simulator):
    first = client.post(AGENTS, json=request_for("Had", 0))
    again = client.post(AGENTS, json=request_for("Had", 0))
    slow = client.post(AGENTS, json=request_for("Fetched", 3))
    client.get(f"{JOBS}/{slow.headers['x-job-id']}?wait=20&until=terminal")
    new = client.post(AGENTS, json=request_for("Fetched", 3))

    assert (first.status_code, again.status_code) == (200, 200)
    assert "x-job-adopted" not in again.headers
    assert "x-job-adopted" not in new.headers
    assert new.headers["x-job-id"] != slow.headers["x-job-id"]
    assert len(shared_simulator.bench.calls("Had")) == 2


def test_eight_equal_calls_at_once_are_eight_pictures(gateway, shared_simulator):
    async def all_of_them():
        async with gateway.async_client() as client:
            return await asyncio.gather(*(client.post(AGENTS, json=request_for("Eight", 1)) for _ in range(8)))

    answers = asyncio.run(all_of_them())  # pictures, or pointers where the machine is slow

    assert len({answer.headers["x-job-id"] for answer in answers}) == 8
    wait_until(lambda: len(shared_simulator.bench.calls("Eight")) >= 8, what="the calls")
    assert len(shared_simulator.bench.calls("Eight")) == 8


def test_a_caller_who_hung_up_gets_the_picture_when_he_calls_again(gateway, client, shared_simulator):
    with gateway.asking(AGENTS, request_for("Hung up", 1)):
        wait_until(lambda: shared_simulator.bench.calls("Hung up") != [], what="the call")
    again = client.post(AGENTS, json=request_for("Hung up", 1))

    assert (again.status_code, again.headers["x-job-adopted"]) == (200, "true")
    assert len(shared_simulator.bench.calls("Hung up")) == 1


def test_another_org_another_subject_and_another_wish_adopt_nothing(gateway, client, shared_simulator):
    client.post(AGENTS, json=request_for("Mine", 3))
    with gateway.client("other") as other, gateway.client(sub="somebody") as somebody:
        answers = [
            other.post(AGENTS, json=request_for("Mine", 3)),
            somebody.post(AGENTS, json=request_for("Mine", 3)),
            client.post(AGENTS, json={**request_for("Mine", 3), "size": "16:9"}),
            client.post(AGENTS, json=request_for("Mine", 3), headers={"Idempotency-Key": "mine"}),
            client.post(JOBS, json=request_for("Mine", 3)),
        ]

    assert all("x-job-adopted" not in a.headers for a in answers)
    assert len({a.headers["x-job-id"] for a in answers}) == 5
    wait_until(lambda: len(shared_simulator.bench.calls("Mine")) == 6, what="six calls")


def test_a_failure_is_not_adopted(client):
    first = client.post(AGENTS, json={**GEMINI, "prompt": "[delay=3] [refuse] Failing"})
    finished(client, first.headers["x-job-id"], "failed")
    again = client.post(AGENTS, json={**GEMINI, "prompt": "[delay=3] [refuse] Failing"})

    assert first.status_code == 504
    assert "x-job-adopted" not in again.headers


def test_after_a_crash_of_the_api_the_wait_that_it_recorded_has_to_pass(redis_url, shared_simulator):
    told = {"DARKROOM_WAIT_SECONDS": "6"}
    with (
        running_gateway(redis_url, shared_simulator, **told) as gateway,
        running_gateway(redis_url, shared_simulator, workers=0, **told) as dying,
        gateway.client() as client,
        dying.client() as caller,
    ):
        _kill_in_the_call(dying, shared_simulator)
        with pytest.raises(httpx.HTTPError):
            caller.post(AGENTS, json=request_for("Crashed", 1.5))
        early = client.post(AGENTS, json=request_for("Crashed", 1.5))
        wait_until(lambda: gateway.abandoned(time.time() * 1000) == 1, what="the end of the wait")
        late = client.post(AGENTS, json=request_for("Crashed", 1.5))

    assert "x-job-adopted" not in early.headers
    assert late.headers["x-job-adopted"] == "true"
    assert len(shared_simulator.bench.calls("Crashed")) == 2


def _kill_in_the_call(gateway, shared_simulator):
    def kill():
        wait_until(lambda: shared_simulator.bench.calls("Crashed") != [], what="the call")
        gateway.api.kill()

    threading.Thread(target=kill, daemon=True).start()


def test_where_it_is_switched_off_every_call_is_a_new_picture(redis_url, shared_simulator):
    off = {"DARKROOM_ADOPT_UNDELIVERED": "0", "DARKROOM_WAIT_SECONDS": "1"}
    with running_gateway(redis_url, shared_simulator, **off) as gateway, gateway.client() as client:
        first, again = [client.post(AGENTS, json=request_for("Off", 2)) for _ in range(2)]

    assert first.headers["x-job-id"] != again.headers["x-job-id"]
