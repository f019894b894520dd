"""A job's webhook, from outside: a receiver on loopback, checked by the libraries that receivers use."""

import base64
import threading
from datetime import datetime

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from openai import OpenAI
from standardwebhooks import Webhook

from tests.acceptance.conftest import JOBS, MUG
from tests.neighbours import free_port, wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.neighbours.webhook_receiver import running_receiver

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, ok").decode()
LOOPBACK = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "DARKROOM_WEBHOOK_SCHEDULE": "0,1,1,1"}


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, **LOOPBACK) as running:
        yield running


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def finished(client, webhook, **more):
    job = client.post(JOBS, json={**MUG, **more, "webhook": webhook}, headers={"Prefer": "wait=60"})
    assert job.status_code == 200, job.text
    return job.json()["data"]


def settled(client, job_id, state):
    def there():
        rows = client.get(f"{JOBS}/{job_id}").json()["data"].get("delivery", [])
        return bool(rows) and all(row["state"] == state for row in rows)

    wait_until(there, what=f"the delivery to be {state}", seconds=25)
    return client.get(f"{JOBS}/{job_id}").json()["data"]["delivery"]


def test_a_finished_job_is_posted_once_and_both_libraries_know_the_signature(client):
    with running_receiver() as receiver:
        job = finished(client, {"url": f"{receiver.url}?for=me", "secret": SECRET})
        (post,) = receiver.until(1)
        (row,) = settled(client, job["id"], "delivered")

    Webhook(SECRET).verify(post.body, post.headers)
    OpenAI(api_key="none", webhook_secret=SECRET).webhooks.verify_signature(post.body, post.headers)
    assert post.path == "/hook?for=me"
    assert post.headers["content-type"] == "application/json"
    assert post.event["id"] == post.headers["webhook-id"] == row["eventId"]
    assert (post.event["type"], post.event["jobId"]) == ("image.job.succeeded", job["id"])
    assert post.event["data"]["result"] == job["result"]
    assert "request" not in post.event["data"]
    assert len(post.body) <= 20 * 1024
    assert (row["attempts"], row["lastStatus"], row["url"]) == (1, 200, receiver.url)


def test_what_was_changed_on_the_way_does_not_verify(client):
    with running_receiver() as receiver:
        finished(client, {"url": receiver.url, "secret": SECRET})
        (post,) = receiver.until(1)

    for body, headers in (
        (post.body + b" ", post.headers),
        (post.body, {**post.headers, "webhook-id": "evt_other"}),
        (post.body, {**post.headers, "webhook-signature": "v1,AAAA"}),
    ):
        with pytest.raises(Exception, match="No matching signature"):
            Webhook(SECRET).verify(body, headers)


def test_a_receiver_that_answers_500_gets_the_same_event_again(client):
    with running_receiver(lambda _, before: 500 if before < 2 else 204) as receiver:
        job = finished(client, {"url": receiver.url, "secret": SECRET})
        posts = list(receiver.until(3))
        (row,) = settled(client, job["id"], "delivered")

    assert len({p.headers["webhook-id"] for p in posts}) == 1
    assert len({p.body for p in posts}) == 1
    assert (row["attempts"], row["lastStatus"]) == (3, 204)
    for post in posts:
        Webhook(SECRET).verify(post.body, post.headers)


def test_without_a_secret_the_post_is_signed_by_the_key_that_the_gateway_publishes(gateway, client):
    with running_receiver() as receiver:
        finished(client, {"url": receiver.url})
        (post,) = receiver.until(1)
    (jwk,) = httpx.get(f"{gateway.url}/.well-known/jwks.json").json()["keys"]

    version, _, signature = post.headers["webhook-signature"].partition(",")
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "=="))
    signed = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode() + post.body
    assert version == "v1a"
    key.verify(base64.b64decode(signature), signed)
    assert (jwk["kty"], jwk["crv"], jwk["alg"], jwk["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")


def test_the_events_that_were_asked_for_come_and_thin_ones_say_only_where_to_look(client):
    events = ["image.job.queued", "image.job.started", "image.job.succeeded"]
    with running_receiver() as receiver:
        job = finished(client, {"url": receiver.url, "events": events, "include": "thin"})
        posts = sorted(receiver.until(3), key=lambda p: p.event["sequence"])

    assert [p.event["type"] for p in posts] == events
    assert all(set(p.event["data"]) == {"id", "status", "urls"} for p in posts)
    assert job["webhook"] == {"url": receiver.url, "events": events, "include": "thin", "signature": "v1a"}


def test_a_failed_job_is_posted_with_its_error(client):
    with running_receiver() as receiver:
        body = {**MUG, "prompt": "[500] A broken mug", "webhook": {"url": receiver.url, "secret": SECRET}}
        client.post(JOBS, json=body, headers={"Prefer": "wait=60"})
        (post,) = receiver.until(1)

    assert post.event["type"] == "image.job.failed"
    assert post.event["data"]["error"]["code"] == "SERVICE_UNAVAILABLE"


@pytest.mark.parametrize("status", [301, 302, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(client, status):
    with (
        running_receiver() as elsewhere,
        running_receiver(lambda *_: (status, {"Location": elsewhere.url}, b"")) as receiver,
    ):
        job = finished(client, {"url": receiver.url})
        (row,) = settled(client, job["id"], "dead")

        assert (row["attempts"], row["lastStatus"]) == (4, status)
        assert elsewhere.posts == []


def test_gone_ends_it_at_once(client):
    with running_receiver(lambda *_: 410) as receiver:
        job = finished(client, {"url": receiver.url})
        (row,) = settled(client, job["id"], "dead")

    assert (row["attempts"], len(receiver.posts)) == (1, 1)


def test_retry_after_is_heeded(client):
    with running_receiver(
        lambda _, before: (503, {"Retry-After": "600"}, b"later") if before == 0 else 200
    ) as receiver:
        job = finished(client, {"url": receiver.url})
        receiver.until(1)
        wait_until(lambda: "lastStatus" in client.get(f"{JOBS}/{job['id']}").json()["data"]["delivery"][0], what="it")
        shown = client.get(f"{JOBS}/{job['id']}").json()["data"]

    assert shown["delivery"][0]["state"] == "pending"
    ended, again = (datetime.fromisoformat(t) for t in (shown["finishedAt"], shown["delivery"][0]["nextAttemptAt"]))
    assert 600 <= (again - ended).total_seconds() < 630
    assert len(receiver.posts) == 1


def test_the_secret_is_shown_to_nobody_and_kept_nowhere_in_clear(gateway, client):
    with running_receiver() as receiver:
        job = finished(client, {"url": receiver.url, "secret": SECRET})
        receiver.until(1)
        listed = client.get(f"{JOBS}/{job['id']}").text + client.get(JOBS).text + client.get(job["urls"]["events"]).text

    assert gateway.redis_keys_holding(SECRET[6:]) == []
    assert SECRET[6:] not in listed
    assert job["webhook"]["signature"] == "v1"


def test_another_webhook_with_the_same_key_makes_no_other_job_and_no_second_post(client):
    with running_receiver() as first, running_receiver() as second:
        headers = {"Idempotency-Key": "one-hook", "Prefer": "wait=60"}
        made = client.post(JOBS, json={**MUG, "webhook": {"url": first.url}}, headers=headers)
        again = client.post(JOBS, json={**MUG, "webhook": {"url": second.url}}, headers=headers)
        first.until(1)

    assert again.json()["data"]["id"] == made.json()["data"]["id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert second.posts == []


def test_a_hanging_receiver_holds_up_neither_jobs_nor_other_receivers(client):
    release = threading.Event()
    with running_receiver(lambda *_: release.wait(60) and 200) as hanging, running_receiver() as healthy:
        held = [
            client.post(JOBS, json={**MUG, "webhook": {"url": hanging.url}}).json()["data"]["id"] for _ in range(12)
        ]
        jobs = [client.get(f"{JOBS}/{j}?wait=60&until=terminal").json()["data"]["status"] for j in held]
        hanging.until(4)
        finished(client, {"url": healthy.url})
        healthy.until(1, timeout=12)
        most_at_once = len(hanging.posts)
        release.set()
        hanging.until(12, timeout=30)

    assert set(jobs) == {"succeeded"}
    assert most_at_once == 4


@pytest.mark.parametrize(
    ("webhook", "field"),
    [
        ({"url": "http://93.184.215.14/hook"}, "webhook.url"),
        ({"url": "https://10.0.0.1/hook"}, "webhook.url"),
        ({"url": "https://169.254.169.254/latest"}, "webhook.url"),
        ({"url": "https://user:pass@example.com/hook"}, "webhook.url"),
        ({"url": "ftp://example.com/hook"}, "webhook.url"),
        ({"url": "https://[::1]/hook"}, "webhook.url"),
        ({"url": "no address"}, "webhook.url"),
        ({"url": "https://example.com/" + "a" * 2_048}, "webhook.url"),
        ({"url": "https://example.com/", "secret": "whsec_short"}, "webhook.secret"),
        ({"url": "https://example.com/", "secret": "a secret of thirty-two characters"}, "webhook.secret"),
        ({"url": "https://example.com/", "events": []}, "webhook.events"),
        ({"url": "https://example.com/", "events": ["image.job.succeeded", "job.done"]}, "webhook.events[1]"),
        ({"url": "https://example.com/", "include": "all"}, "webhook.include"),
        ({"url": "https://example.com/", "when": "now"}, "webhook.when"),
        ({}, "webhook.url"),
        ("https://example.com/", "webhook"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused_by_its_field(client, webhook, field):
    answer = client.post(JOBS, json={**MUG, "webhook": webhook})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"]["field"]) == (400, "INVALID_INPUT", field)


def test_without_the_setting_loopback_is_refused_by_address_and_by_name(redis_url, simulator):
    port = free_port()
    schedule = {"DARKROOM_WEBHOOK_SCHEDULE": "0"}
    with (
        running_receiver(port=port) as receiver,
        running_gateway(redis_url, simulator, **schedule) as gateway,
        gateway.client() as client,
    ):
        told = client.post(JOBS, json={**MUG, "webhook": {"url": f"https://127.0.0.1:{port}/"}})
        job = finished(client, {"url": "https://localhost:8443/hook"})
        (row,) = settled(client, job["id"], "dead")

    assert told.status_code == 400
    assert row["lastError"] == "address"
    assert receiver.posts == []
