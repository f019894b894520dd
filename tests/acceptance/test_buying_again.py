"""What a client's own retries would buy: nothing, whichever error its call ended with, on every face of an SDK."""

import time

import pytest
from openai import APIError, OpenAI

from tests.acceptance.conftest import JOBS
from tests.acceptance.test_edits import png
from tests.acceptance.test_openai_face import EDITS, GENERATIONS
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway, token
from tests.neighbours.redis_server import running_redis

MODEL = {"model": "gpt-image-2", "size": "256x256"}
AZURE = "/openai/deployments/gpt-image-2/images/generations?api-version=2025-04-01-preview"
ENDINGS = {  # the mark of the simulator: OpenAI's code of the error
    "[drop]": "service_unavailable",
    "[502]": "service_unavailable",
    "[504]": "service_unavailable",
    "[badjson]": "service_unavailable",
    "[empty]": "service_unavailable",
    "[delay=6]": "timeout",
}
RETRIED = {408, 409, 429}
"""Beside every 5xx: what one or the other of the SDKs asks again for, `x-should-retry` or not."""


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    settings = {"DARKROOM_PROVIDER_SECONDS": "3", "DARKROOM_WAIT_SECONDS": "20", "DARKROOM_ABSORB_SECONDS": "1"}
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway):
    with gateway.client("buyers") as client:
        yield client


def insistent(client, path, tries=3, **sent):
    """As the AI SDK: asked again on 408, 409, 429 and every 5xx, whatever the headers say; here without a pause."""
    for _ in range(tries):
        answer = client.post(path, **sent)
        if answer.status_code not in RETRIED and answer.status_code < 500:
            break
    return answer


@pytest.mark.parametrize("mark", ENDINGS)
def test_a_call_that_may_have_been_paid_for_is_made_once_however_often_the_client_tries(client, shared_simulator, mark):
    prompt = f"{mark} bought once"

    answer = insistent(client, GENERATIONS, json={**MODEL, "prompt": prompt})

    error, job_id = answer.json()["error"], answer.headers["x-job-id"]
    assert (answer.status_code, error["code"]) == (424, ENDINGS[mark]), answer.text
    assert (answer.headers["x-should-retry"], job_id in error["message"]) == ("false", True)
    assert set(error) == {"message", "type", "param", "code"}
    assert client.get(f"{JOBS}/{job_id}").json()["data"]["billing"]["state"] != "none"
    assert len(shared_simulator.bench.calls(prompt)) == 1


@pytest.mark.parametrize("how", ["azure", "edit", "stream"])
def test_every_path_of_the_face_ends_so(client, shared_simulator, how):
    prompt = f"[drop] once by {how}"
    sent = {"json": {**MODEL, "prompt": prompt, **({"stream": True} if how == "stream" else {})}}
    if how == "edit":
        sent = {"data": {**MODEL, "prompt": prompt}, "files": {"image": png((256, 256))}}

    answer = insistent(client, {"azure": AZURE, "edit": EDITS, "stream": GENERATIONS}[how], **sent)

    assert (answer.status_code, "x-job-id" in answer.headers) == (424, True), answer.text
    assert len(shared_simulator.bench.calls(prompt)) == 1


def test_openais_own_client_with_all_its_retries_buys_once(gateway, shared_simulator):
    client = OpenAI(base_url=f"{gateway.url}/v1", api_key=token("buyers"), max_retries=3)
    with client as openai, pytest.raises(APIError) as raised:
        openai.images.generate(**MODEL, prompt="[drop] by the client")

    assert raised.value.status_code == 424
    assert len(shared_simulator.bench.calls("[drop] by the client")) == 1


def test_a_job_that_was_canceled_under_way_is_not_bought_again(client, shared_simulator):
    prompt = "[delay=2] canceled"
    made = client.post(GENERATIONS, json={**MODEL, "prompt": prompt}, headers={"Prefer": "respond-async"})
    key = {"Idempotency-Key": "canceled-under-way"}
    kept = client.post(GENERATIONS, json={**MODEL, "prompt": prompt}, headers={**key, "Prefer": "respond-async"})
    wait_until(lambda: len(shared_simulator.bench.calls(prompt)) == 2, what="both calls")

    for answer in (made, kept):
        client.post(f"{JOBS}/{answer.headers['x-job-id']}/cancel")
    told = insistent(client, GENERATIONS, json={**MODEL, "prompt": prompt}, headers=key)

    assert (told.status_code, told.json()["error"]["code"]) == (424, "job_canceled")
    assert told.headers["x-job-id"] == kept.headers["x-job-id"]


def test_a_job_that_was_canceled_before_it_began_is_not_asked_for_again(gateway, shared_simulator):
    body, key = {**MODEL, "prompt": "canceled in the queue"}, {"Idempotency-Key": "canceled-in-the-queue"}
    with gateway.client("held", scope="write:image-gen read:image-gen admin:image-gen") as client:
        client.patch("/api/v1/orgs/held", json={"maxRunning": 0})
        made = client.post(GENERATIONS, json=body, headers={**key, "Prefer": "respond-async"})
        canceled = client.post(f"{JOBS}/{made.headers['x-job-id']}/cancel").json()["data"]
        told = insistent(client, GENERATIONS, json=body, headers=key)

    assert (canceled["cancel"]["outcome"], canceled["billing"]["state"]) == ("prevented", "none")
    assert (told.status_code, told.json()["error"]["code"]) == (424, "job_canceled")
    assert shared_simulator.bench.calls(body["prompt"]) == []


def test_what_was_not_paid_for_keeps_the_status_that_asks_for_another_try(client):
    answer = client.post(GENERATIONS, json={**MODEL, "prompt": "[500] refused"})

    assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")
    job = client.get(f"{JOBS}/{answer.headers['x-job-id']}").json()["data"]
    assert (job["billing"]["state"], job["error"]["details"]["safeToRetry"]) == ("none", True)


def test_a_wait_that_ends_first_is_504_and_the_client_that_asks_again_joins_its_job(redis_url, simulator):
    body = {**MODEL, "prompt": "[delay=3] joined"}
    with running_gateway(redis_url, simulator, DARKROOM_WAIT_SECONDS="2") as gateway, gateway.client() as client:
        began = time.monotonic()
        answer = insistent(client, GENERATIONS, tries=4, json=body)

    assert (answer.status_code, answer.headers.get("x-job-adopted")) == (200, "true")
    assert time.monotonic() - began > 2
    assert len(simulator.bench.calls("joined")) == 1
