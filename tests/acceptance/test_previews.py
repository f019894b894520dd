"""Previews of a job on real processes: there while it runs, gone when their hour is over."""

import base64
import hashlib
import io
import json

import httpx
import pytest
import redis
from PIL import Image

from jobs.redis.keys import Keys
from tests.acceptance.conftest import JOBS
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.neighbours.webhook_receiver import running_receiver

KEYS = Keys("{darkroom}:")

FOX = {"provider": "openai", "model": "gpt-image-2", "size": "256x256", "partialImages": 2}
PREVIEW = "image.job.preview"


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    told = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "DARKROOM_LEASE_SECONDS": "3"}
    with running_redis() as redis_server, running_gateway(redis_server.url, shared_simulator, **told) as running:
        yield running


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def submitted(client, prompt, **fields):
    answer = client.post(JOBS, json={**FOX, "prompt": prompt, **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()["data"]["id"]


def ended(client, job_id):
    return client.get(f"{JOBS}/{job_id}?wait=60&until=terminal").json()["data"]


def events(client, job_id):
    answer = client.get(f"{JOBS}/{job_id}/events", headers={"Accept": "application/json"})
    return answer.json()["data"]


def looks(told):
    return [e["data"]["preview"] for e in told if e["type"] == PREVIEW]


def test_previews_are_events_with_links_that_open_before_the_picture_is_there(gateway, client, shared_simulator):
    prompt = "[delay=1.5] A fox by and by"
    job_id = submitted(client, prompt, outputFormat="jpeg")

    job, told = ended(client, job_id), events(client, job_id)

    types = [e["type"] for e in told]
    assert types == [
        "image.job.queued",
        "image.job.started",
        PREVIEW,
        PREVIEW,
        "image.job.checkpointed",
        "image.job.succeeded",
    ]
    assert [(p["index"], p["partialIndex"]) for p in looks(told)] == [(0, 0), (0, 1)]
    for look in looks(told):
        answer = httpx.get(look["url"])
        picture = Image.open(io.BytesIO(answer.content))
        assert answer.headers["content-type"] == look["mimeType"] == "image/jpeg"
        assert (look["width"], look["height"]) == picture.size == (256, 256)
    (call,) = shared_simulator.bench.calls(prompt)
    data = httpx.get(job["result"]["url"]).content
    assert call["pictures"] == [hashlib.sha256(data).hexdigest()]
    assert job["billing"] == {**job["billing"], "state": "billed", "providerCalls": 1}
    for bytes_ in (data, *(httpx.get(look["url"]).content for look in looks(told))):
        middle = bytes_[300:390]  # of base64's own alphabet alone: what is found is found in any writing
        assert gateway.redis_keys_holding(base64.b64encode(middle).decode()) == []
        assert gateway.redis_keys_holding(repr(middle)[2:-1]) == []


def test_a_job_shows_its_latest_preview_while_it_runs_and_none_at_its_end(client):
    job_id = submitted(client, "[delay=2] A fox to look at")

    shown = {}
    wait_until(
        lambda: shown.update(client.get(f"{JOBS}/{job_id}").json()["data"].get("preview", {})) or shown,
        what="a preview",
    )
    job = ended(client, job_id)

    assert shown.keys() == {"url", "index", "partialIndex", "mimeType", "width", "height"}
    assert (job["status"], job.get("preview")) == ("succeeded", None)
    assert job["request"]["partialImages"] == 2


def test_each_picture_of_several_has_its_own_call_and_its_own_previews(client, shared_simulator):
    prompt = "[delay=1] Three foxes"
    job_id = submitted(client, prompt, n=3)

    job, told = ended(client, job_id), events(client, job_id)

    calls = shared_simulator.bench.calls(prompt)
    assert [call["fields"]["n"] for call in calls] == [1, 1, 1]
    assert {p["index"] for p in looks(told)} == {0, 1, 2}
    sums = {hashlib.sha256(httpx.get(image["url"]).content).hexdigest() for image in job["result"]["images"]}
    assert sums == {call["pictures"][0] for call in calls}


def test_previews_are_deleted_when_their_hour_is_over_and_the_picture_stays(gateway, client):
    job_id = submitted(client, "[delay=1] A fox for an hour")
    job, urls = ended(client, job_id), [p["url"] for p in looks(events(client, job_id))]
    names = [url.removeprefix(f"{gateway.url}/files/") for url in urls]

    with redis.Redis.from_url(gateway.environment["REDIS_URL"]) as admin:
        key = KEYS.expiring_blobs
        left = [admin.zscore(key, name) / 1000 - admin.time()[0] for name in names]
        admin.zadd(key, dict.fromkeys(names, 1), xx=True)
    wait_until(lambda: not set(names) & set(gateway.blobs("previews")), what="the sweep")

    assert len(names) == 2
    assert all(3_500 < seconds <= 3_601 for seconds in left)
    assert [httpx.get(url).status_code for url in urls] == [404, 404]
    assert httpx.get(job["result"]["url"]).status_code == 200


def test_a_stream_that_is_cut_leaves_an_unknown_outcome_and_is_not_bought_again(client, shared_simulator):
    prompt = "[cut-stream] A fox that ran"
    job_id = submitted(client, prompt)

    job, told = ended(client, job_id), events(client, job_id)

    details = job["error"]["details"]
    assert (job["status"], details["reason"], details["safeToRetry"]) == ("failed", "outcome_unknown", False)
    assert (job["billing"]["state"], len(shared_simulator.bench.calls(prompt))) == ("possibly_billed", 1)
    assert job.get("preview") is None
    assert len(looks(told)) <= 1


def test_where_the_job_asked_for_it_a_cut_stream_is_begun_again_from_its_first_preview(client, shared_simulator):
    prompt = "[cut-streamx1] [delay=1] A fox that came back"
    job_id = submitted(client, prompt, onAmbiguous="retry")

    job, told = ended(client, job_id), events(client, job_id)

    assert [a["outcome"] for a in job["attempts"]] == ["unknown", "succeeded"]
    assert [p["partialIndex"] for p in looks(told)] == [0, 0, 1]
    assert len(shared_simulator.bench.calls(prompt)) == 2


def test_a_refusal_in_a_stream_is_told_like_any_other(client):
    job = ended(client, submitted(client, "[refuse-stream] A fox that must not be"))

    assert (job["status"], job["error"]["details"]["reason"]) == ("failed", "content_policy")
    assert job["billing"]["state"] == "none"


def test_a_provider_without_previews_makes_the_picture_and_says_so(client):
    job = ended(client, submitted(client, "A fox", provider="azure-openai", model="dall-e-3", size="1024x1024"))

    assert job["status"] == "succeeded"
    assert [(w["code"], w["field"]) for w in job["warnings"]] == [("ignored_option", "partialImages")]


def test_a_webhook_that_asks_for_previews_is_posted_each_as_a_link(client):
    with running_receiver() as receiver:
        webhook = {"url": receiver.url, "events": [PREVIEW]}
        job_id = submitted(client, "[delay=1] A fox by post", webhook=webhook)
        posts = receiver.until(2)
        ended(client, job_id)

    assert sorted(p.event["data"]["preview"]["partialIndex"] for p in posts) == [0, 1]
    assert all(len(p.body) < 20_480 and "b64" not in json.dumps(p.event) for p in posts)
