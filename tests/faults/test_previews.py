"""Previews and conversions in bad times: the picture is held up by neither, and bought again for neither."""

import io
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.tcp_proxy import running_relay

JOBS = "/api/v1/jobs"
ROOT = Path(__file__).parents[2]
FOX = {"provider": "openai", "model": "gpt-image-2", "size": "256x256", "prompt": "[delay=2] A red fox"}


@pytest.fixture
def relay(azurite):
    with running_relay(azurite.port) as relay:
        yield relay


@pytest.fixture
def gateway(redis_url, simulator, azurite, relay, tmp_path):
    told = {
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string.replace(str(azurite.port), str(relay.port)),
        "AZURE_STORAGE_CONTAINER": "previewed",
        "DARKROOM_LEASE_SECONDS": "3",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/fixtures/killer'}",
        "KILLER_FOLDER": str(tmp_path),
    }
    with running_gateway(redis_url, simulator, **told) as gateway:
        yield gateway


def ended(client, job_id):
    return client.get(f"{JOBS}/{job_id}?wait=60&until=terminal").json()["data"]


def test_previews_that_cannot_be_stored_are_dropped_and_the_picture_is_not_held_up(gateway, simulator, relay):
    with gateway.client() as client:
        job_id = client.post(JOBS, json={**FOX, "partialImages": 3}).json()["data"]["id"]
        wait_until(lambda: len(simulator.bench.calls()) == 1, what="the call")
        relay.shut()
        begun = time.monotonic()
        wait_until(lambda: client.get(f"{JOBS}/{job_id}").json()["data"]["phase"] == "uploading", what="the spool")
        took = time.monotonic() - begun
        relay.open()
        job = ended(client, job_id)

    assert job["status"] == "succeeded"
    assert took < 8  # the call's 2 seconds, and 2 more before a picture is spooled
    assert len(simulator.bench.calls()) == 1


@pytest.mark.parametrize("moment", ["after-answer", "after-upload"])
def test_a_worker_that_dies_with_a_converted_picture_loses_it_only_before_it_is_stored(
    gateway, simulator, tmp_path, moment
):
    gemini = {
        "provider": "gemini",
        "model": "gemini-3.1-flash-image-preview",
        "prompt": "A fox",
        "outputFormat": "webp",
    }
    (tmp_path / moment).touch()
    with gateway.client() as client:
        job_id = client.post(JOBS, json=gemini).json()["data"]["id"]
        wait_until(lambda: gateway.workers[0].poll() is not None, what="the worker's death")
        gateway.start_worker()
        job = ended(client, job_id)

    assert len(simulator.bench.calls()) == 1
    if moment == "after-answer":
        assert job["error"]["details"]["reason"] == "outcome_unknown"
    else:
        assert (job["status"], job["result"]["mimeType"]) == ("succeeded", "image/webp")
        assert Image.open(io.BytesIO(httpx.get(job["result"]["url"]).content)).format == "WEBP"
