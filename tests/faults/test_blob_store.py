"""A blob store that is down when the bytes come: they are on disk, and no crash buys them again."""

import threading

import pytest

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.tcp_proxy import running_relay

JOBS = "/api/v1/jobs"
SLOW = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "[delay=1] A red fox"}


@pytest.fixture
def relay(azurite):
    with running_relay(azurite.port) as relay:
        yield relay


@pytest.fixture
def gateway(redis_url, simulator, azurite, relay):
    told = {
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string.replace(str(azurite.port), str(relay.port)),
        "AZURE_STORAGE_CONTAINER": "spooled",
        "DARKROOM_LEASE_SECONDS": "3",
    }
    with running_gateway(redis_url, simulator, **told) as gateway:
        yield gateway


def begun_and_answered(client, simulator, relay, count=1, **fields):
    """Jobs whose pictures were made while the blob store was down."""
    made = [client.post(JOBS, json={**SLOW, **fields}).json()["data"]["id"] for _ in range(count)]
    wait_until(lambda: len(simulator.bench.calls()) == count, what="the calls")
    relay.shut()
    wait_until(lambda: all(c["pictures"] for c in simulator.bench.calls()), what="the answers")
    return made


def test_pictures_wait_on_disk_and_are_uploaded_when_the_store_is_back(gateway, simulator, relay):
    with gateway.client() as client:
        made = begun_and_answered(client, simulator, relay, count=3)

        def phases():
            return {client.get(f"{JOBS}/{j}").json()["data"]["phase"] for j in made}

        wait_until(lambda: phases() == {"uploading"}, what="the record of the spool")
        on_disk = gateway.spooled()
        relay.open()
        ended = [client.get(f"{JOBS}/{j}?wait=30&until=terminal").json()["data"] for j in made]

    assert len(on_disk) == 3
    assert {job["status"] for job in ended} == {"succeeded"}
    assert len(simulator.bench.calls()) == 3
    gateway.wait_for_an_empty_spool()


def test_a_worker_killed_with_pictures_on_disk_is_followed_by_one_that_finds_them(gateway, simulator, relay):
    with gateway.client() as client:
        made = begun_and_answered(client, simulator, relay, count=2)
        wait_until(lambda: len(gateway.spooled()) == 2, what="the spool")
        gateway.workers[0].kill()
        gateway.start_worker()
        wait_until(lambda: client.get("/healthz").is_success, what="the API")
        relay.open()
        ended = [client.get(f"{JOBS}/{j}?wait=40&until=terminal").json()["data"] for j in made]

    assert {job["status"] for job in ended} == {"succeeded"}
    assert [(job["billing"]["state"], job["billing"]["providerCalls"]) for job in ended] == [("billed", 1)] * 2
    assert len(simulator.bench.calls()) == 2
    gateway.wait_for_an_empty_spool()


def test_api_and_worker_begin_while_the_store_is_down_and_make_its_container_when_it_is_there(
    redis_url, simulator, azurite, relay
):
    told = {
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string.replace(str(azurite.port), str(relay.port)),
        "AZURE_STORAGE_CONTAINER": "later",
    }
    with running_gateway(redis_url, simulator, **told) as gateway, gateway.client() as client:
        gateway.stop()
        relay.shut()
        gateway.start_worker()
        threading.Timer(8, relay.open).start()
        gateway.start_api()
        job = client.post(JOBS, json=SLOW, headers={"Prefer": "wait=60"}).json()["data"]

    assert job["status"] == "succeeded"
    assert len(simulator.bench.calls()) == 1


def test_a_worker_on_another_machine_leaves_the_picture_to_the_one_that_has_it(gateway, simulator, relay, tmp_path):
    with gateway.client() as client:
        (job_id,) = begun_and_answered(client, simulator, relay)

        def looked():
            return client.get(f"{JOBS}/{job_id}").json()["data"]

        wait_until(lambda: looked()["phase"] == "uploading", what="the record of the spool")
        gateway.workers[0].kill()
        home = gateway.environment["DARKROOM_DATA_DIR"]
        gateway.environment["DARKROOM_DATA_DIR"] = str(tmp_path)
        elsewhere = gateway.start_worker()
        relay.open()
        wait_until(
            lambda: looked()["status"] == "queued" and looked()["phase"] == "uploading", seconds=60, what="the return"
        )
        asleep = looked()["version"]
        other = {**SLOW, "prompt": "[delay=7] Meanwhile"}
        meanwhile = client.post(JOBS, json=other, headers={"Prefer": "wait=60"}).json()["data"]
        slept = looked()["version"]
        gateway.environment["DARKROOM_DATA_DIR"] = home
        gateway.start_worker()
        wait_until(lambda: looked()["status"] == "succeeded", seconds=60, what="the end")
        elsewhere.terminate()
        job = looked()

    assert (meanwhile["status"], slept) == ("succeeded", asleep)
    assert (job["billing"]["state"], job["billing"]["providerCalls"]) == ("billed", 1)
    assert len(simulator.bench.calls("red fox")) == 1


def test_at_the_deadline_the_upload_has_failed_and_the_picture_is_salvaged_when_the_store_is_back(
    gateway, simulator, relay
):
    with gateway.client() as client:
        (job_id,) = begun_and_answered(client, simulator, relay, cancelAfter=6)
        failed = client.get(f"{JOBS}/{job_id}?wait=30&until=terminal").json()["data"]
        result = client.get(f"{JOBS}/{job_id}/result")
        relay.open()
        wait_until(lambda: "result" in client.get(f"{JOBS}/{job_id}").json()["data"], seconds=60, what="the salvage")
        late = client.get(f"{JOBS}/{job_id}").json()["data"]

    assert (failed["status"], failed["error"]["details"]["reason"]) == ("failed", "upload_failed")
    assert failed["billing"]["state"] == "billed"
    assert (result.status_code, result.json()["error"]["code"]) == (500, "SYSTEM_ERROR")
    assert late["error"]["details"]["salvaged"] is True
    assert len(simulator.bench.calls()) == 1
    gateway.wait_for_an_empty_spool()
