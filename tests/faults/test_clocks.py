"""A host whose clock is off by more than a job may take: it is told so at its start, and ends nobody's job."""

import json
from pathlib import Path

import pytest

from tests.neighbours import free_port, wait_until
from tests.neighbours.gateway import STARTING_SECONDS, Gateway, environment

ROOT = Path(__file__).parents[2]
FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "[delay=1] A red fox"}
OFF = 20 * 60
"""Seconds: a job has 15 minutes."""


@pytest.fixture
def gateway(redis_url, simulator, tmp_path):
    """Nothing of it runs yet; its processes can have clocks that are off."""
    port, path = free_port(), f"{ROOT / 'tests/fixtures/clock'}:{ROOT}"
    told = environment(redis_url, simulator, str(tmp_path / "data"), port, PYTHONPATH=path)
    gateway = Gateway(told, port)
    gateway.logs = tmp_path
    yield gateway
    gateway.stop()


def start(gateway, api=0, worker=0):
    """Both, with clocks that are ahead by so many seconds."""
    gateway.environment["CLOCK_SHIFT_SECONDS"] = str(api)
    gateway.start_api()
    gateway.environment["CLOCK_SHIFT_SECONDS"] = str(worker)
    gateway.start_worker()
    wait_until(gateway.working, STARTING_SECONDS, what="the worker")


def told(gateway, name):
    """By how many seconds a process says that its host's clock is ahead."""
    lines = (gateway.logs / f"{name}.log").read_text().splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    return [record["seconds"] for record in records if record["event"].startswith("the clock of this host is off")]


@pytest.mark.parametrize("seconds", [OFF, -OFF], ids=["ahead", "behind"])
@pytest.mark.parametrize("whose", ["api", "worker"])
def test_a_clock_that_is_off_ends_no_job_and_holds_none_up(gateway, simulator, whose, seconds):
    start(gateway, **{whose: seconds})
    with gateway.client() as client:
        made = client.post("/api/v1/jobs", json=FOX, headers={"Prefer": "wait=30"}).json()["data"]

    assert (made["status"], made["billing"]["providerCalls"]) == ("succeeded", 1)
    assert len(simulator.bench.calls()) == 1
    assert [round(off, -1) for off in told(gateway, whose)] == [seconds]
    assert told(gateway, "worker" if whose == "api" else "api") == []


def test_an_api_whose_clock_is_ahead_ends_no_job_of_another_when_it_is_read(gateway, redis_url, simulator, tmp_path):
    start(gateway)
    port = free_port()
    shifted = {"PYTHONPATH": gateway.environment["PYTHONPATH"], "CLOCK_SHIFT_SECONDS": str(OFF)}
    other = Gateway(environment(redis_url, simulator, str(tmp_path / "data"), port, **shifted), port)
    try:
        other.start_api()
        with gateway.client() as client, other.client() as ahead:
            job_id = client.post("/api/v1/jobs", json={**FOX, "prompt": "[delay=3] A red fox"}).json()["data"]["id"]
            read = ahead.get(f"/api/v1/jobs/{job_id}").json()["data"]
            ended = client.get(f"/api/v1/jobs/{job_id}?wait=40&until=terminal").json()["data"]
    finally:
        other.stop()

    assert read["status"] in {"queued", "running"}
    assert ended["status"] == "succeeded"
