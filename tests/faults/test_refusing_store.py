"""A blob store that refuses, as after a change of its key: what was paid for waits, as for one that is down."""

import pytest

from tests.neighbours import wait_until
from tests.neighbours.blob_proxy import running_blob_proxy
from tests.neighbours.gateway import running_gateway

JOBS = "/api/v1/jobs"
SLOW = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "[delay=1] A red fox"}


@pytest.fixture
def proxy(azurite):
    with running_blob_proxy(azurite.port) as proxy:
        yield proxy


@pytest.fixture
def gateway(redis_url, simulator, azurite, proxy):
    told = {
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string.replace(str(azurite.port), str(proxy.port)),
        "AZURE_STORAGE_CONTAINER": "refusing",
        "DARKROOM_LEASE_SECONDS": "3",
    }
    with running_gateway(redis_url, simulator, **told) as gateway:
        yield gateway


@pytest.mark.parametrize("status", [403, 400])
def test_a_picture_that_the_store_refuses_waits_on_disk_until_it_is_taken(gateway, simulator, proxy, status):
    proxy.verdict = lambda method, path: status if method in {"PUT", "GET"} and "images" in path else None
    with gateway.client() as client:
        job_id = client.post(JOBS, json=SLOW).json()["data"]["id"]

        def looked():
            return client.get(f"{JOBS}/{job_id}").json()["data"]

        wait_until(lambda: looked()["phase"] in {"uploading", "done"}, what="the record of the spool")
        waiting, on_disk = looked(), gateway.spooled()
        proxy.verdict = lambda *_: None
        job = client.get(f"{JOBS}/{job_id}?wait=40&until=terminal").json()["data"]

    assert (waiting["status"], len(on_disk)) == ("running", 1)
    assert (job["status"], job["billing"]["providerCalls"]) == ("succeeded", 1)
    gateway.wait_for_an_empty_spool()
    assert len(simulator.bench.calls()) == 1


def test_at_the_deadline_the_upload_has_failed_and_the_picture_is_salvaged_when_the_store_takes_it(
    gateway, simulator, proxy
):
    proxy.verdict = lambda method, path: 403 if method in {"PUT", "GET"} and "images" in path else None
    with gateway.client() as client:
        job_id = client.post(JOBS, json={**SLOW, "cancelAfter": 6}).json()["data"]["id"]
        failed = client.get(f"{JOBS}/{job_id}?wait=30&until=terminal").json()["data"]
        proxy.verdict = lambda *_: None
        wait_until(lambda: "result" in client.get(f"{JOBS}/{job_id}").json()["data"], what="the salvage")
        late = client.get(f"{JOBS}/{job_id}").json()["data"]

    assert len(simulator.bench.calls()) == 1
    assert (failed["status"], failed["error"]["details"]["reason"]) == ("failed", "upload_failed")
    assert (late["error"]["details"]["salvaged"], late["billing"]["state"]) == (True, "billed")
    gateway.wait_for_an_empty_spool()
