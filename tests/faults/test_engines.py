"""An engine can be asked again: what becomes of its runs when workers die and callers change their minds."""

import pytest

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

JOBS = "/api/v1/jobs"
FOX = {"provider": "comfyui", "model": "stable-diffusion-xl.safetensors", "size": "64x64"}


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    engines = dict.fromkeys(("COMFYUI_BASE_URL", "AUTOMATIC1111_BASE_URL"), shared_simulator.url)
    settings = {**engines, "DARKROOM_LEASE_SECONDS": "3"}
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, **settings) as running:
        yield running


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def started(client, prompt):
    return client.post(JOBS, json={**FOX, "prompt": prompt}).json()["data"]["id"]


def job(client, job_id, query=""):
    return client.get(f"{JOBS}/{job_id}{query}").json()["data"]


def test_a_run_is_told_step_by_step_and_gives_its_picture(client):
    job_id = started(client, "[delay=2] A slow fox")
    wait_until(lambda: job(client, job_id)["progress"]["source"] == "provider", what="the progress")
    progress = job(client, job_id)["progress"]

    ended = job(client, job_id, "?wait=60&until=terminal")

    assert (progress["steps"], 0 < progress["value"] <= 1) == (20, True)
    assert (ended["status"], ended["result"]["width"]) == ("succeeded", 64)


def test_a_worker_that_is_killed_in_a_run_leaves_it_to_another_which_asks_for_it_and_not_for_a_new_one(
    gateway, client, shared_simulator
):
    job_id = started(client, "[delay=8] An orphaned fox")
    wait_until(lambda: shared_simulator.bench.calls("orphaned"), what="the run")
    kill_the_worker(gateway)

    ended = job(client, job_id, "?wait=90&until=terminal")

    assert ended["status"] == "succeeded"
    assert len(ended["attempts"]) == len(shared_simulator.bench.calls("orphaned")) == 1


def test_a_run_that_nobody_can_ask_about_is_not_started_again_when_its_worker_is_killed(
    gateway, client, shared_simulator
):
    fox = {"provider": "automatic1111", "model": "sd-xl", "size": "64x64", "prompt": "[delay=4] A lost hare"}
    job_id = client.post(JOBS, json=fox).json()["data"]["id"]
    wait_until(lambda: shared_simulator.bench.calls("lost"), what="the run")
    kill_the_worker(gateway)

    ended = job(client, job_id, "?wait=90&until=terminal")

    assert ended["status"] == "failed"
    assert len(ended["attempts"]) == len(shared_simulator.bench.calls("lost")) == 1


def kill_the_worker(gateway):
    """Another takes its place."""
    gateway.workers[-1].kill()
    gateway.workers.pop().wait()
    gateway.start_worker()


def test_a_canceled_job_ends_its_own_run_and_leaves_anothers(client, shared_simulator):
    ours, theirs = started(client, "[delay=30] A fox to cancel"), started(client, "[delay=1] A fox to keep")
    wait_until(lambda: len(shared_simulator.bench.calls(" fox to ")) == 2, what="the runs")

    client.post(f"{JOBS}/{ours}/cancel")

    kept = job(client, theirs, "?wait=25&until=terminal")
    assert kept["status"] == "succeeded", "it waited for the other's run, which goes on"
    assert job(client, ours)["status"] == "canceled"


def test_a_failing_run_says_which_node_and_no_path_of_the_server(client):
    refused = client.post(JOBS, json={**FOX, "model": "no-such-model", "prompt": "A fox"}).json()["data"]["id"]

    error = job(client, refused, "?wait=60&until=terminal")["error"]

    assert "node 4 (CheckpointLoaderSimple)" in error["message"]


def test_a_canceled_run_of_an_engine_that_names_none_is_interrupted_while_it_is_ours(client, shared_simulator):
    fox = {"provider": "automatic1111", "model": "sd-xl", "size": "64x64"}
    ours = client.post(JOBS, json={**fox, "prompt": "[delay=60] A hare to cancel"}).json()["data"]["id"]
    wait_until(lambda: job(client, ours)["progress"]["source"] == "provider", what="the run")

    client.post(f"{JOBS}/{ours}/cancel")

    kept = client.post(JOBS, json={**fox, "prompt": "A hare to keep"}).json()["data"]["id"]
    assert job(client, kept, "?wait=40&until=terminal")["status"] == "succeeded", "the other's run goes on"
    assert job(client, ours)["status"] == "canceled"
    assert len(shared_simulator.bench.calls(" hare to ")) == 2
