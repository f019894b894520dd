"""Webhook endpoints, from outside: receivers on loopback, checked by the libraries that receivers use."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from jobs.access.tokens import new_token
from tests.acceptance.conftest import JOBS, MUG
from tests.neighbours import free_port
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.neighbours.webhook_receiver import running_receiver
from tests.webhook_calls import HOOKS, LOG, LOOPBACK, finished, made, refused, rows, settled

ENDS = ["succeeded", "failed", "canceled", "expired", "salvaged"]
JAVASCRIPT = Path(__file__).parents[1] / "clients/standardwebhooks"


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    with running_redis() as server, running_gateway(server.url, shared_simulator, **LOOPBACK) as running:
        yield running


@pytest.fixture
def client(gateway):
    """An org of the test's own: its endpoints are nobody else's."""
    with gateway.client(f"org-{new_token()[-12:].lower().replace('_', 'x')}") as client:
        yield client


def test_an_endpoint_is_made_read_changed_and_deleted(gateway, client):
    answer = client.post(
        HOOKS, json={"url": "https://localhost:8443/hook?k=v", "description": "Shop", "metadata": {"team": "a"}}
    )
    endpoint = answer.json()["data"]
    path = f"{HOOKS}/{endpoint['id']}"
    changed = client.patch(path, json={"include": "thin", "events": ["image.job.failed"], "description": None})
    listed = client.get(HOOKS).json()["data"]
    with gateway.client("rival") as rival:
        foreign = [
            rival.get(path),
            rival.patch(path, json={"include": "full"}),
            rival.delete(path),
            *(rival.post(f"{path}/{verb}") for verb in ("test", "enable", "rotate-secret")),
            rival.post(f"{path}/redeliver", json={"jobId": "job_x"}),
        ]
    gone = client.delete(path)

    assert (answer.status_code, answer.headers["location"]) == (201, f"{gateway.url}{path}")
    assert answer.headers["cache-control"] == "no-store"
    assert (endpoint["url"], endpoint["status"]) == ("https://localhost:8443/hook", "enabled")
    assert endpoint["events"] == [f"image.job.{end}" for end in ENDS]
    assert changed.json()["data"]["events"] == ["image.job.failed"]
    assert (changed.json()["data"]["include"], changed.json()["data"]["description"]) == ("thin", None)
    assert [e["id"] for e in listed["endpoints"]] == [endpoint["id"]]
    assert [a.status_code for a in foreign] == [404] * 7
    assert gone.status_code == 204
    assert client.get(path).status_code == client.delete(path).status_code == 404


def test_who_may_only_read_changes_nothing(gateway):
    with gateway.client("readers", scope="read:image-gen") as reader:
        listed = reader.get(HOOKS), reader.get(LOG)
        asked = reader.post(HOOKS, json={"url": "https://localhost:8443/"})

    assert [a.status_code for a in listed] == [200, 200]
    assert asked.status_code == 403


def test_the_secret_is_shown_once_and_kept_nowhere_in_clear(gateway, client):
    endpoint = made(client, "https://localhost:8443/hook")
    turned = client.post(f"{HOOKS}/{endpoint['id']}/rotate-secret").json()["data"]
    shown = client.get(HOOKS).text + client.get(f"{HOOKS}/{endpoint['id']}").text

    for secret in (endpoint["secret"], turned["secret"]):
        assert secret.startswith("whsec_")
        assert secret not in shown
        assert gateway.redis_keys_holding(secret[6:]) == []


def test_an_org_has_at_most_fifty(client):
    for _ in range(50):
        made(client, "https://localhost:8443/hook")

    answer = client.post(HOOKS, json={"url": "https://localhost:8443/hook"})

    assert answer.json()["error"]["details"]["reason"] == "too_many_endpoints"
    assert len(client.get(HOOKS, params={"limit": 100}).json()["data"]["endpoints"]) == 50


def test_each_endpoint_gets_the_events_that_it_names_of_every_job_once(client):
    with running_receiver() as ends, running_receiver() as all_of_it, running_receiver() as own:
        first = made(client, ends.url)
        second = made(client, all_of_it.url, events=["image.job.queued", "image.job.succeeded"], include="thin")
        job = finished(client, webhook={"url": own.url})
        other = finished(client)
        for receiver, count in ((ends, 2), (all_of_it, 4), (own, 1)):
            receiver.until(count)
        settled(client, "delivered", 7)
        shown = client.get(f"{JOBS}/{job['id']}").json()["data"]["delivery"]

    assert sorted(p.event["jobId"] for p in ends.posts) == sorted([job["id"], other["id"]])
    assert {p.event["type"] for p in all_of_it.posts} == {"image.job.queued", "image.job.succeeded"}
    assert all(set(p.event["data"]) == {"id", "status", "urls"} for p in all_of_it.posts)
    assert (len(ends.posts), len(all_of_it.posts), len(own.posts)) == (2, 4, 1)
    for endpoint, receiver in ((first, ends), (second, all_of_it)):
        for post in receiver.posts:
            Webhook(endpoint["secret"]).verify(post.body, post.headers)
    assert sorted(str(row.get("endpointId")) for row in shown) == sorted(["None", first["id"], *[second["id"]] * 2])


def test_a_job_that_names_an_endpoint_tells_it_once(client):
    with running_receiver() as receiver:
        endpoint = made(client, receiver.url)
        job = finished(client, webhook={"endpointId": endpoint["id"]})
        settled(client, "delivered", jobId=job["id"])

    assert len(receiver.posts) == 1
    assert job["webhook"] == {"endpointId": endpoint["id"]}


def test_an_endpoint_that_a_job_names_is_told_even_by_a_worker_that_has_not_heard_of_it(client):
    finished(client)  # now the worker knows that the org has no endpoint

    with running_receiver() as receiver:
        endpoint = made(client, receiver.url)
        finished(client, webhook={"endpointId": endpoint["id"]})
        receiver.until(1)

    assert [p.event["type"] for p in receiver.posts] == ["image.job.succeeded"]


def test_a_new_endpoint_hears_of_events_within_five_seconds(client):
    finished(client)

    with running_receiver() as receiver:
        made(client, receiver.url)
        time.sleep(5.1)
        job = finished(client)
        (post,) = receiver.until(1)

    assert post.event["jobId"] == job["id"]


def test_both_secrets_sign_during_the_overlap_and_then_the_new_one_alone(client):
    with running_receiver() as receiver:
        endpoint = made(client, receiver.url)
        path = f"{HOOKS}/{endpoint['id']}/rotate-secret"
        second = client.post(path, json={"overlapSeconds": 3600}).json()["data"]
        finished(client)
        (both,) = receiver.until(1)
        third = client.post(path, json={"overlapSeconds": 0}).json()["data"]
        finished(client)
        _, alone = receiver.until(2)

    assert second["overlapUntil"] is not None
    assert third["overlapUntil"] is None
    for secret in (endpoint["secret"], second["secret"]):
        Webhook(secret).verify(both.body, both.headers)
    Webhook(third["secret"]).verify(alone.body, alone.headers)
    for secret in (endpoint["secret"], second["secret"]):
        with pytest.raises(Exception, match="No matching signature"):
            Webhook(secret).verify(alone.body, alone.headers)


def test_a_secret_of_the_callers_own_is_taken_at_creation_and_at_rotation(client):
    first, second = ("whsec_" + letter * 40 for letter in "AB")

    endpoint = made(client, "https://localhost:8443/", secret=first)
    turned = client.post(f"{HOOKS}/{endpoint['id']}/rotate-secret", json={"secret": second})

    assert (endpoint["secret"], turned.json()["data"]["secret"]) == (first, second)


def test_a_ping_is_signed_and_answers_with_what_happened(client):
    with running_receiver(lambda _, before: (500, {}, b"x" * 3000) if before else 204) as receiver:
        endpoint = made(client, receiver.url)
        good, bad = (client.post(f"{HOOKS}/{endpoint['id']}/test").json()["data"] for _ in range(2))
    nobody = made(client, f"http://127.0.0.1:{free_port()}/")
    hidden = made(client, "https://localhost:8443/")
    unreached, private = (client.post(f"{HOOKS}/{e['id']}/test").json()["data"] for e in (nobody, hidden))

    Webhook(endpoint["secret"]).verify(receiver.posts[0].body, receiver.posts[0].headers)
    assert receiver.posts[0].event["type"] == "webhook.test"
    assert receiver.posts[0].event["id"] == receiver.posts[0].headers["webhook-id"] == good["eventId"]
    assert (good["delivered"], good["status"]) == (True, 204)
    assert (bad["delivered"], bad["status"], len(bad["response"])) == (False, 500, 1024)
    assert (unreached["delivered"], unreached["status"]) == (False, None)
    assert unreached["error"]
    assert private["error"]
    assert rows(client) == []


def test_an_endpoint_is_pinged_ten_times_a_minute_over_all_processes_and_no_other_is_held_up(
    gateway, shared_simulator, client
):
    redis_url = gateway.environment["REDIS_URL"]
    with (
        running_receiver() as receiver,
        running_gateway(redis_url, shared_simulator, workers=0, **LOOPBACK) as second,
        httpx.Client(base_url=second.url, headers=client.headers, timeout=30, trust_env=False) as there,
    ):
        endpoint, other = made(client, receiver.url), made(client, receiver.url)
        asked = [(client, there)[n % 2].post(f"{HOOKS}/{endpoint['id']}/test") for n in range(12)]
        beside = there.post(f"{HOOKS}/{other['id']}/test")

    error = asked[-1].json()["error"]
    assert [a.status_code for a in asked] == [200] * 10 + [429] * 2
    assert (error["code"], error["details"]["reason"]) == ("RATE_LIMITED", "ping_limit")
    assert 1 <= int(asked[-1].headers["retry-after"]) <= 60
    assert beside.status_code == 200
    assert len(receiver.posts) == 11


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "http://93.184.215.14/hook"}, "url"),
        ({"url": "https://10.0.0.1/hook"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://user:pass@example.com/"}, "url"),
        ({"url": "no address"}, "url"),
        ({"url": "https://example.com/", "events": []}, "events"),
        ({"url": "https://example.com/", "events": ["job.done"]}, "events[0]"),
        ({"url": "https://example.com/", "include": "all"}, "include"),
        ({"url": "https://example.com/", "secret": "whsec_short"}, "secret"),
        ({"url": "https://example.com/", "description": ""}, "description"),
        ({"url": "https://example.com/", "metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"url": "https://example.com/", "when": "now"}, "when"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused_by_its_field(client, body, field):
    refused(client.post(HOOKS, json=body), field)

    if "url" in body and field != "secret":
        endpoint = made(client, "https://localhost:8443/")
        refused(client.patch(f"{HOOKS}/{endpoint['id']}", json=body), field)


@pytest.mark.parametrize(
    ("webhook", "field"),
    [
        ({"endpointId": "whe_" + "0" * 30}, "webhook.endpointId"),
        ({"endpointId": "no id"}, "webhook.endpointId"),
        ({"endpointId": "whe_x", "url": "https://example.com/"}, "webhook.endpointId"),
    ],
)
def test_a_job_names_an_endpoint_of_its_org_and_nothing_beside(client, webhook, field):
    refused(client.post(JOBS, json={**MUG, "webhook": webhook}), field)


def test_an_overlap_is_at_most_a_week(client: httpx.Client):
    endpoint = made(client, "https://localhost:8443/")

    refused(client.post(f"{HOOKS}/{endpoint['id']}/rotate-secret", json={"overlapSeconds": 604_801}), "overlapSeconds")


def test_the_javascript_library_knows_the_signatures_and_no_other(client):
    node = shutil.which("node")
    if node is None or not (JAVASCRIPT / "node_modules").is_dir():
        pytest.skip("the library is not installed: `npm ci` in tests/clients/standardwebhooks")

    def verified(secret, body):
        told = json.dumps({"secret": secret, "body": body, "headers": post.headers})
        return subprocess.run([node, JAVASCRIPT / "verify.js"], input=told, text=True, capture_output=True, check=False)

    with running_receiver() as receiver:
        endpoint = made(client, receiver.url)
        client.post(f"{HOOKS}/{endpoint['id']}/rotate-secret")
        finished(client)
        (post,) = receiver.until(1)
    good, changed = verified(endpoint["secret"], post.body.decode()), verified(endpoint["secret"], "{}")

    assert (good.returncode, json.loads(good.stdout)) == (0, post.event)
    assert (changed.returncode, changed.stderr.strip()) == (1, "No matching signature found")
