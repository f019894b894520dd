"""Webhooks when things die: what was committed with the job is posted, with the id that it was given then."""

import statistics
import threading
import time
from pathlib import Path

from jobs.model.times import moment, now_ms
from tests.neighbours import free_port, wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.webhook_receiver import running_receiver

FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox"}
ROOT = Path(__file__).parents[2]
LOOPBACK = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "DARKROOM_WEBHOOK_SCHEDULE": "0,2,2,2,2,2,2,2"}


def delivery(client, job_id):
    return client.get(f"/api/v1/jobs/{job_id}").json()["data"]["delivery"][0]


def test_what_was_committed_before_any_worker_lived_is_posted_by_the_first_that_does(redis_url, simulator):
    with (
        running_receiver() as receiver,
        running_gateway(redis_url, simulator, workers=0, **LOOPBACK) as gateway,
        gateway.client() as client,
    ):
        job_id = client.post("/api/v1/jobs", json={**FOX, "webhook": {"url": receiver.url}}).json()["data"]["id"]
        client.post(f"/api/v1/jobs/{job_id}/cancel")
        told = delivery(client, job_id)["eventId"]
        gateway.start_worker()
        (post,) = receiver.until(1)

    assert (post.event["type"], post.headers["webhook-id"]) == ("image.job.canceled", told)


def test_a_worker_killed_while_the_receiver_was_down_is_followed_by_one_that_delivers_the_same_id(redis_url, simulator):
    port = free_port()
    with running_gateway(redis_url, simulator, **LOOPBACK) as gateway, gateway.client() as client:
        webhook = {"url": f"http://127.0.0.1:{port}/hook"}
        job_id = client.post("/api/v1/jobs", json={**FOX, "webhook": webhook}).json()["data"]["id"]
        client.get(f"/api/v1/jobs/{job_id}?wait=30&until=terminal")
        wait_until(lambda: delivery(client, job_id)["attempts"] >= 1, what="a failed attempt")
        told = delivery(client, job_id)["eventId"]
        gateway.workers[0].kill()
        with running_receiver(port=port) as receiver:
            gateway.start_worker()
            (post,) = receiver.until(1)
            wait_until(lambda: delivery(client, job_id)["state"] == "delivered", what="the delivery")

    assert post.headers["webhook-id"] == told


def test_a_worker_killed_in_a_post_is_followed_by_one_that_posts_again_with_the_same_id(redis_url, simulator):
    release = threading.Event()
    with (
        running_receiver(lambda _, before: 200 if before else release.wait(60) and 200) as receiver,
        running_gateway(redis_url, simulator, **LOOPBACK) as gateway,
        gateway.client() as client,
    ):
        client.post("/api/v1/jobs", json={**FOX, "webhook": {"url": receiver.url}})
        receiver.until(1)
        gateway.workers[0].kill()
        gateway.start_worker()
        first, again = receiver.until(2, timeout=60)
        release.set()

    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.body == again.body


def test_a_worker_killed_between_the_move_and_the_post_is_followed_by_one_that_posts_it(redis_url, simulator, tmp_path):
    killer = {"PYTHONPATH": f"{ROOT}:{ROOT}/tests/fixtures/killer", "KILLER_FOLDER": str(tmp_path)}
    (tmp_path / "after-finish").touch()
    with (
        running_receiver() as receiver,
        running_gateway(redis_url, simulator, **LOOPBACK, **killer) as gateway,
        gateway.client() as client,
    ):
        job_id = client.post("/api/v1/jobs", json={**FOX, "webhook": {"url": receiver.url}}).json()["data"]["id"]
        gateway.workers[0].wait(30)
        left = client.get(f"/api/v1/jobs/{job_id}").json()["data"]
        unsent = len(receiver.posts)
        gateway.start_worker()
        (post,) = receiver.until(1, timeout=60)
        wait_until(lambda: delivery(client, job_id)["state"] == "delivered", what="the delivery")

    assert (left["status"], left["delivery"][0]["attempts"], unsent) == ("succeeded", 0, 0)
    assert post.headers["webhook-id"] == left["delivery"][0]["eventId"]
    assert post.event["data"]["result"] == left["result"]
    assert len(simulator.bench.calls()) == 1


def test_a_receiver_that_hangs_leaves_the_latency_of_jobs_as_it_was(redis_url, simulator):
    def seconds(**fields):
        begun = time.monotonic()
        answer = client.post("/api/v1/jobs", json={**FOX, **fields}, headers={"Prefer": "wait=30"})
        assert answer.status_code == 200, answer.text
        return time.monotonic() - begun

    release = threading.Event()
    with (
        running_receiver(lambda *_: (release.wait(60), 200)[1]) as receiver,
        running_gateway(redis_url, simulator, **LOOPBACK) as gateway,
        gateway.client() as client,
    ):
        seconds()
        alone = statistics.median(seconds() for _ in range(15))
        beside = statistics.median(seconds(webhook={"url": receiver.url}) for _ in range(15))
        held = len(receiver.until(4))
        release.set()

    assert held == 4
    assert beside < 2 * alone + 0.1


def made(client, url, **fields):
    return client.post("/api/v1/webhooks", json={"url": url, **fields}).json()["data"]


def in_state(client, state):
    rows = client.get("/api/v1/webhook-deliveries", params={"state": state, "limit": 100}).json()["data"]["deliveries"]
    return len(rows)


def test_a_hundred_that_were_given_up_are_redelivered_once_each(redis_url, simulator):
    with (
        running_receiver() as receiver,
        running_gateway(redis_url, simulator, workers=0, **LOOPBACK) as gateway,
        gateway.client() as client,
    ):
        endpoint = made(client, receiver.url, events=["image.job.queued", "image.job.canceled"])
        path = f"/api/v1/webhooks/{endpoint['id']}"
        for _ in range(50):
            job_id = client.post("/api/v1/jobs", json=FOX).json()["data"]["id"]
            client.post(f"/api/v1/jobs/{job_id}/cancel")
        client.patch(path, json={"enabled": False})
        gateway.start_worker()
        wait_until(lambda: in_state(client, "dead") == 100, what="all to be given up")
        client.post(f"{path}/enable")
        span = {"since": endpoint["createdAt"], "until": moment(now_ms() + 60_000)}
        first, second = (client.post(f"{path}/redeliver", json=span).json()["data"] for _ in range(2))
        wait_until(lambda: in_state(client, "delivered") == 100, what="all to be delivered")

    assert (first["redelivered"], first["since"], second["redelivered"]) == (100, None, 0)
    assert len({p.headers["webhook-id"] for p in receiver.posts}) == len(receiver.posts) == 100
