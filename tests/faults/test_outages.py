"""A neighbour that is away is waited for, and told of at once, then ever more seldom, and once when it is back."""

import datetime as dt
import itertools
import json

import pytest

from tests.neighbours import free_port, wait_until
from tests.neighbours.gateway import STARTING_SECONDS, Gateway, environment, running_gateway
from tests.neighbours.redis_server import running_redis
from tests.neighbours.tcp_proxy import running_relay

FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox"}
SLOW = {**FOX, "prompt": "[delay=1] A red fox"}


@pytest.fixture
def redis():
    with running_redis() as server:
        yield server


def test_a_worker_that_is_started_before_its_redis_says_so_seldom_and_begins_when_it_is_there(
    redis, simulator, tmp_path
):
    redis.kill()
    gateway = Gateway(environment(redis.url, simulator, str(tmp_path / "data"), free_port()), free_port())
    gateway.logs = tmp_path
    try:
        gateway.start_worker()
        wait_until(lambda: len(told(tmp_path, "worker")) == 3, STARTING_SECONDS, what="the third word")
        redis.start()
        wait_until(lambda: "Redis is available again" in events(tmp_path, "worker"), what="the last word")
        wait_until(gateway.working, what="the worker")
    finally:
        gateway.stop()

    assert grows(told(tmp_path, "worker"), "Redis")
    assert events(tmp_path, "worker")[3:] == ["Redis is available again"]


def test_processes_whose_redis_dies_under_them_say_so_seldom_however_many_parts_of_them_wait(
    redis, simulator, tmp_path
):
    with running_gateway(redis.url, simulator, logs=tmp_path) as gateway, gateway.client() as client:
        made = [client.post("/api/v1/jobs", json=SLOW).json()["data"]["id"] for _ in range(3)]
        wait_until(lambda: len(simulator.bench.calls()) == 3, what="the calls")
        redis.kill()
        wait_until(lambda: min(len(told(tmp_path, name)) for name in ("api", "worker")) >= 3, what="the third word")
        spoken = {name: events(tmp_path, name) for name in ("api", "worker")}
        redis.start()
        ended = [client.get(f"/api/v1/jobs/{j}?wait=40&until=terminal").json()["data"]["status"] for j in made]

        def over(name):
            return events(tmp_path, name).count("Redis is available again")

        wait_until(lambda: gateway.ready() and over("api") and over("worker"), what="the last word")

    assert all(set(said) == {"Redis is unavailable"} and len(said) <= 4 for said in spoken.values())
    for name in ("api", "worker"):
        assert grows(told(tmp_path, name), "Redis")
        assert over(name) == 1
    assert ended == ["succeeded"] * 3


def test_a_worker_whose_blob_store_is_away_says_so_seldom_however_many_pictures_wait(
    redis, simulator, azurite, tmp_path
):
    with running_relay(azurite.port) as relay:
        address = azurite.connection_string.replace(str(azurite.port), str(relay.port))
        blobs = {"AZURE_STORAGE_CONNECTION_STRING": address, "AZURE_STORAGE_CONTAINER": "outages"}
        with running_gateway(redis.url, simulator, logs=tmp_path, **blobs) as gateway, gateway.client() as client:
            made = [client.post("/api/v1/jobs", json=SLOW).json()["data"]["id"] for _ in range(5)]
            wait_until(lambda: len(simulator.bench.calls()) == 5, what="the calls")
            relay.shut()
            wait_until(lambda: len(told(tmp_path, "worker")) >= 3, what="the third word")
            spoken = events(tmp_path, "worker")
            relay.open()
            ended = [client.get(f"/api/v1/jobs/{j}?wait=40&until=terminal").json()["data"]["status"] for j in made]

    assert set(spoken) == {"the blob store is unavailable"}
    assert grows(told(tmp_path, "worker"), "the blob store")
    assert events(tmp_path, "worker").count("the blob store is available again") == 1
    assert ended == ["succeeded"] * 5


def records(folder, name):
    return [json.loads(line) for line in (folder / f"{name}.log").read_text().splitlines() if line.startswith("{")]


def events(folder, name):
    return [record["event"] for record in records(folder, name)]


def told(folder, name):
    """What was said of neighbours that are away."""
    return [record for record in records(folder, name) if record["event"].endswith(" is unavailable")]


def grows(said, neighbour):
    """Whether it is said of one neighbour, with pauses that are twice as long each time."""
    times = [dt.datetime.fromisoformat(record["timestamp"]).timestamp() for record in said]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert {record["event"] for record in said} == {f"{neighbour} is unavailable"}
    return all(pause > 0.9 * 2**n for n, pause in enumerate(pauses))
