"""A worker that sleeps beyond its leases: another has taken its jobs, and what it brings on waking is not lost."""

import contextlib
import os
import signal
import time

import pytest
import redis

from jobs.redis.keys import Keys
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.neighbours.webhook_receiver import running_receiver

KEYS = Keys("{darkroom}:")

PATH = "/api/v1/jobs"
FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "[delay=1] A red fox"}
AMBIGUOUS = ("fail", "retry")
AWAKE_SECONDS = 3
"""Longer than an upload and three heartbeats: whatever a woken worker would do is done by then."""


def seen(gateway, client, shared_simulator, receiver, job_ids):
    """Everything of the jobs that anybody could see change."""
    with redis.Redis.from_url(gateway.environment["REDIS_URL"]) as store:
        blobs = store.zrange(KEYS.expiring_blobs, 0, -1, withscores=True)
        expiring = {name.decode(): at for name, at in blobs}
        records = [store.hgetall(KEYS.job(job_id)) for job_id in job_ids]
    return {
        "records": records,
        "expiring": expiring,
        "jobs": [client.get(f"{PATH}/{job_id}").json()["data"] for job_id in job_ids],
        "events": [client.get(f"{PATH}/{job_id}/events").json()["data"] for job_id in job_ids],
        "posts": sorted((post.event["type"], post.event["id"]) for post in receiver.posts),
        "calls": shared_simulator.bench.calls(),
        "blobs": gateway.blobs("images"),
    }


@pytest.fixture(scope="module")
def told(shared_simulator):
    """What was seen before and after: the worker slept in its calls, and woke when others had long ended its jobs."""
    settings = {"DARKROOM_LEASE_SECONDS": "3", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    with (
        running_redis() as server,
        running_receiver() as receiver,
        running_gateway(server.url, shared_simulator, **settings) as gateway,
        gateway.client() as client,
    ):
        bodies = [{**FOX, "onAmbiguous": ambiguous, "webhook": {"url": receiver.url}} for ambiguous in AMBIGUOUS]
        job_ids = [client.post(PATH, json=body).json()["data"]["id"] for body in bodies]
        wait_until(lambda: len(shared_simulator.bench.calls()) == 2, what="the calls")
        stale = gateway.workers[0]
        os.kill(stale.pid, signal.SIGSTOP)
        gateway.start_worker()

        def quiet():
            jobs = [client.get(f"{PATH}/{job_id}").json()["data"] for job_id in job_ids]
            return all("finishedAt" in job and job["delivery"][0]["state"] == "delivered" for job in jobs)

        wait_until(quiet, seconds=30, what="the end of the jobs")
        before = seen(gateway, client, shared_simulator, receiver, job_ids)
        os.kill(stale.pid, signal.SIGCONT)

        def salvaged():
            return "result" in client.get(f"{PATH}/{job_ids[0]}").json()["data"]

        with contextlib.suppress(AssertionError):
            wait_until(salvaged, seconds=40)
            receiver.until(len(before["posts"]) + 1)
        time.sleep(AWAKE_SECONDS)
        after = seen(gateway, client, shared_simulator, receiver, job_ids)
        assert stale.poll() is None
        yield before, after


def test_the_jobs_are_taken_over_with_an_unknown_outcome(told):
    before, _ = told

    outcomes = [(job["status"], [a["outcome"] for a in job["attempts"]]) for job in before["jobs"]]

    assert outcomes == [("failed", ["unknown"]), ("succeeded", ["unknown", "succeeded"])]
    assert (len(before["calls"]), len(before["posts"]), len(before["blobs"])) == (3, 2, 1)


@pytest.mark.parametrize("what", ["records", "jobs", "events"])
def test_a_worker_that_wakes_changes_nothing_of_a_job_that_has_its_picture(told, what):
    before, after = told

    assert after[what][1] == before[what][1]


def test_a_worker_that_wakes_calls_nobody_again_and_ends_no_job_twice(told):
    before, after = told

    ends = [post for post in after["posts"] if post[0] != "image.job.salvaged"]
    assert (after["calls"], ends) == (before["calls"], before["posts"])


def test_the_picture_in_its_hands_is_salvaged_onto_the_job_that_had_ended_without_it(told):
    (before, *_), (after, *_) = (seen["jobs"] for seen in told)

    assert (before["status"], before["billing"]["state"], "result" in before) == ("failed", "possibly_billed", False)
    assert (after["status"], after["billing"]["state"]) == ("failed", "billed")
    assert after["error"]["details"]["salvaged"] is True
    assert [event["type"] for event in told[1]["events"][0]][-1] == "image.job.salvaged"
    assert [kind for kind, _ in told[1]["posts"]].count("image.job.salvaged") == 1


def test_the_picture_of_a_job_that_has_another_call_s_is_kept_for_a_day(told):
    before, after = told

    extra = set(after["blobs"]) - set(before["blobs"])
    expiring = {name: at for name, at in after["expiring"].items() if name in after["blobs"]}

    assert (len(extra), len(expiring)) == (2, 1)
    assert set(expiring) < extra
    assert all(at > time.time() * 1000 + 80_000_000 for at in expiring.values())
