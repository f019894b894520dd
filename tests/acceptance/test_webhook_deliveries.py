"""How deliveries to endpoints fare, from outside: dead letters, redelivery, and when an endpoint is disabled."""

import json
import threading
from datetime import datetime
from itertools import pairwise

import pytest
import redis

from jobs.access.tokens import new_token
from tests.acceptance.conftest import JOBS, MUG
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.neighbours.webhook_receiver import running_receiver
from tests.webhook_calls import HOOKS, LOG, LOOPBACK, finished, made, refused, rows, seen, settled


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    with running_redis() as server, running_gateway(server.url, shared_simulator, **LOOPBACK) as running:
        yield running


@pytest.fixture
def client(gateway):
    """An org of the test's own: its endpoints are nobody else's."""
    with gateway.client(f"org-{new_token()[-12:].lower().replace('_', 'x')}") as client:
        yield client


def test_what_was_given_up_is_a_dead_letter_and_arrives_once_when_it_is_redelivered(client):
    with running_receiver(lambda _, before: (500, {}, b"down " * 500) if before < 3 else 200) as receiver:
        made(client, receiver.url)
        job = finished(client)
        (dead,) = settled(client, "dead")
        log = client.get(f"{LOG}/{dead['id']}").json()["data"]["log"]
        again = client.post(f"{LOG}/{dead['id']}/redeliver")
        settled(client, "delivered")
        whole = client.get(f"{LOG}/{dead['id']}").json()["data"]

    assert [(a["status"], len(a["response"])) for a in log] == [(500, 1024)] * 3
    assert all(a["tookMs"] >= 0 for a in log)
    starts = [datetime.fromisoformat(a["at"]) for a in log]
    assert all(0.9 <= (later - earlier).total_seconds() < 5 for earlier, later in pairwise(starts))
    assert (again.status_code, again.json()["data"]["state"]) == (202, "pending")
    assert len(receiver.posts) == 4
    assert len({(p.headers["webhook-id"], p.body) for p in receiver.posts}) == 1
    assert (whole["state"], whole["attempts"], whole["jobId"]) == ("delivered", 4, job["id"])


def test_what_was_delivered_for_a_job_is_delivered_once_more_when_the_job_is_named(client):
    with running_receiver() as receiver:
        endpoint = made(client, receiver.url)
        jobs = [finished(client)["id"] for _ in range(2)]
        settled(client, "delivered", 2)
        answer = client.post(f"{HOOKS}/{endpoint['id']}/redeliver", json={"jobId": jobs[0]})
        receiver.until(3)

    assert (answer.status_code, answer.json()["data"]["redelivered"]) == (202, 1)
    assert [p.event["jobId"] for p in receiver.posts].count(jobs[0]) == 2


def test_the_log_is_filtered_and_read_by_pages(gateway, client):
    with running_receiver() as receiver, running_receiver() as other:
        endpoint = made(client, receiver.url, events=["image.job.queued", "image.job.succeeded"])
        made(client, other.url)
        jobs = [finished(client)["id"] for _ in range(2)]
        settled(client, "delivered", 6)
    whole, read, cursor = rows(client), [], None
    while True:
        page = client.get(LOG, params={"limit": 4, **({"cursor": cursor} if cursor else {})}).json()["data"]
        read, cursor = read + page["deliveries"], page["cursor"]
        if cursor is None:
            break
    with gateway.client("rival") as rival:
        foreign = [rival.get(f"{LOG}/{whole[0]['id']}"), rival.post(f"{LOG}/{whole[0]['id']}/redeliver")]
        none = rows(rival, jobId=jobs[0])

    assert [row["id"] for row in read] == [row["id"] for row in whole]
    assert len(rows(client, endpointId=endpoint["id"])) == 4
    assert len(rows(client, jobId=jobs[0])) == 3
    assert len(rows(client, jobId=jobs[0], type="image.job.queued")) == 1
    assert rows(client, state="dead") == none == []
    assert [a.status_code for a in foreign] == [404, 404]


def test_410_disables_an_endpoint_at_once_and_enabling_it_lets_the_dead_be_redelivered(client):
    with running_receiver(lambda _, before: 200 if before else 410) as receiver:
        endpoint = made(client, receiver.url)
        finished(client)
        settled(client, "dead")
        wait_until(lambda: seen(client, endpoint)["status"] == "disabled", what="it to be disabled")
        disabled = seen(client, endpoint)
        (dead,) = rows(client)
        refused(client.post(f"{LOG}/{dead['id']}/redeliver"), None)
        refused(client.post(JOBS, json={**MUG, "webhook": {"endpointId": endpoint["id"]}}), "webhook.endpointId")
        enabled = client.post(f"{HOOKS}/{endpoint['id']}/enable").json()["data"]
        client.post(f"{LOG}/{dead['id']}/redeliver")
        settled(client, "delivered")

    assert disabled["reason"] == "the receiver answered 410 Gone"
    assert (enabled["status"], enabled["reason"]) == ("enabled", None)
    assert len(receiver.posts) == 2


def test_three_days_of_nothing_but_failures_disable_an_endpoint_and_say_so(gateway, client):
    with running_receiver(lambda *_: 500) as receiver:
        endpoint = made(client, receiver.url)
        finished(client)
        wait_until(lambda: seen(client, endpoint)["failingSince"], what="the first failure to be noted")
        with redis.Redis.from_url(gateway.environment["REDIS_URL"]) as db:
            (key,) = db.scan_iter(f"*endpoint:{endpoint['id']}")
            record = json.loads(db.get(key))
            record["failing_since_ms"] -= 3 * 86_400_000
            db.set(key, json.dumps(record))
        wait_until(lambda: seen(client, endpoint)["status"] == "disabled", what="it to be disabled")
        (row,) = settled(client, "dead")

    assert seen(client, endpoint)["reason"] == "nothing but failures for three days"
    assert row.get("reason", "").startswith("endpoint disabled") or row["attempts"] == 3


def test_a_delivery_makes_an_endpoint_whole_again(client):
    with running_receiver(lambda _, before: 200 if before else 500) as receiver:
        endpoint = made(client, receiver.url)
        finished(client)
        wait_until(lambda: seen(client, endpoint)["failingSince"], what="the first failure to be noted")
        receiver.until(2)
        wait_until(lambda: seen(client, endpoint)["failingSince"] is None, what="it to recover")

    assert seen(client, endpoint)["status"] == "enabled"


@pytest.mark.parametrize(
    ("end", "reason"),
    [("delete", "endpoint deleted"), ("disable", "endpoint disabled: by request")],
)
def test_what_waits_for_an_endpoint_that_is_deleted_or_disabled_is_dead_at_once(client, end, reason):
    with running_receiver(lambda *_: (503, {"Retry-After": "600"}, b"")) as receiver:
        endpoint = made(client, receiver.url)
        finished(client)
        wait_until(lambda: rows(client)[0]["attempts"], what="the first attempt to be noted")
        path = f"{HOOKS}/{endpoint['id']}"
        client.delete(path) if end == "delete" else client.patch(path, json={"enabled": False})
        (row,) = settled(client, "dead")

    assert (row["reason"], row["attempts"], len(receiver.posts)) == (reason, 1, 1)


def test_a_post_that_fails_after_its_endpoint_was_disabled_is_not_tried_again(client):
    release = threading.Event()
    with running_receiver(lambda *_: release.wait(30) and (503, {"Retry-After": "600"}, b"")) as receiver:
        endpoint = made(client, receiver.url)
        finished(client)
        receiver.until(1)
        client.patch(f"{HOOKS}/{endpoint['id']}", json={"enabled": False})
        release.set()
        (row,) = settled(client, "dead")

    assert (row["reason"], row["attempts"], len(receiver.posts)) == ("endpoint disabled: by request", 1, 1)


def test_a_new_address_gets_what_still_waits_for_the_old_one(client):
    with running_receiver(lambda *_: (503, {"Retry-After": "600"}, b"")) as old, running_receiver() as new:
        endpoint = made(client, old.url)
        finished(client)
        wait_until(lambda: rows(client)[0]["attempts"], what="the first attempt to be noted")
        client.patch(f"{HOOKS}/{endpoint['id']}", json={"url": new.url})
        (row,) = settled(client, "delivered")

    assert (len(old.posts), len(new.posts), row["url"]) == (1, 1, new.url)


def test_a_slow_and_a_silent_receiver_hold_up_no_other_even_at_the_same_address(client):
    release = threading.Event()

    def answer(post, _):
        if post.path == "/silent":
            release.wait(30)
        return 200

    with running_receiver(answer) as receiver:
        made(client, f"http://127.0.0.1:{receiver.port}/silent")
        made(client, f"http://127.0.0.1:{receiver.port}/quick")
        jobs = [client.post(JOBS, json=MUG).json()["data"]["id"] for _ in range(8)]
        for job in jobs:
            client.get(f"{JOBS}/{job}?wait=60&until=terminal")
        wait_until(
            lambda: [p.path for p in receiver.posts].count("/quick") == 8, what="the quick one's posts", seconds=10
        )
        held = [p.path for p in receiver.posts].count("/silent")
        release.set()

    assert held == 4


def test_a_receiver_has_fifteen_seconds_to_answer_and_one_that_takes_longer_or_says_nothing_is_tried_again(client):
    end = threading.Event()

    def first_after(seconds):
        return lambda _, before: (before or end.wait(seconds), 200)[1]

    with (
        running_receiver(first_after(12)) as timely,
        running_receiver(first_after(18)) as late,
        running_receiver(first_after(100)) as silent,
    ):
        sinks = {made(client, receiver.url)["id"]: receiver for receiver in (timely, late, silent)}
        finished(client)
        logs = {
            row["endpointId"]: client.get(f"{LOG}/{row['id']}").json()["data"]["log"]
            for row in settled(client, "delivered", 3)
        }
        end.set()
    in_time, *too_slow = (logs[endpoint] for endpoint in sinks)

    assert [(a["status"], 11_500 < a["tookMs"] < 15_000) for a in in_time] == [(200, True)]
    for log in too_slow:
        assert [(a.get("status"), a.get("error")) for a in log] == [(None, "too slow"), (200, None)]
        assert 14_500 < log[0]["tookMs"] < 17_000
    assert [len({p.headers["webhook-id"] for p in receiver.posts}) for receiver in sinks.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "since"),
        ({"since": "2026-01-31T12:00:00Z"}, "until"),
        ({"since": "yesterday", "until": "2026-01-31T12:00:00Z"}, "since"),
        ({"since": "2026-01-31T12:00:00Z", "until": "2026-01-30T12:00:00Z"}, "until"),
        ({"since": "2026-01-31T12:00:00Z", "until": "2027-01-30T12:00:00Z"}, "until"),
        ({"since": "2026-01-31T12:00:00Z", "until": "2026-02-01T12:00:00Z", "states": ["pending"]}, "states"),
        ({"since": "2026-01-31T12:00:00Z", "until": "2026-02-01T12:00:00Z", "states": []}, "states"),
        ({"jobId": "job_x", "since": "2026-01-31T12:00:00Z"}, "jobId"),
    ],
)
def test_a_redelivery_that_cannot_be_is_refused_by_its_field(client, body, field):
    endpoint = made(client, "https://localhost:8443/")

    refused(client.post(f"{HOOKS}/{endpoint['id']}/redeliver", json=body), field)


@pytest.mark.parametrize(
    ("path", "field"),
    [(f"{HOOKS}?cursor=x", "cursor"), (f"{LOG}?cursor=whe_x", "cursor"), (f"{LOG}?state=lost", "state")],
)
def test_a_list_is_asked_for_strictly(client, path, field):
    refused(client.get(path), field)
