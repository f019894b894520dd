"""A worker that is killed while it converts: the picture is on disk as it came, and is not bought again."""

import hashlib
from pathlib import Path

import httpx
import pytest

from jobs.pictures.sniff import measure
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway

ROOT = Path(__file__).parents[2]
JOBS = "/api/v1/jobs"
GEMINI = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "outputFormat": "webp"}


@pytest.fixture
def gateway(redis_url, simulator, tmp_path):
    told = {
        "DARKROOM_LEASE_SECONDS": "3",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/fixtures/killer'}",
        "KILLER_FOLDER": str(tmp_path),
    }
    with running_gateway(redis_url, simulator, **told) as gateway:
        yield gateway


@pytest.mark.parametrize(("prompt", "kind"), [("A fox", "image/webp"), ("[torn] A fox", "image/png")])
def test_a_worker_killed_while_it_converts_is_followed_by_one_that_finishes(gateway, simulator, tmp_path, prompt, kind):
    (tmp_path / "converting").touch()
    with gateway.client() as client:
        job_id = client.post(JOBS, json={**GEMINI, "prompt": prompt}).json()["data"]["id"]
        wait_until(lambda: gateway.workers[0].poll() is not None, what="the kill")
        gateway.start_worker()
        job = client.get(f"{JOBS}/{job_id}?wait=40&until=terminal").json()["data"]

    (call,) = simulator.bench.calls()
    data = httpx.get(job["result"]["url"]).content
    assert (job["status"], job["billing"]["state"], job["billing"]["providerCalls"]) == ("succeeded", "billed", 1)
    assert (job["result"]["mimeType"], measure(data).media_type) == (kind, kind)
    as_it_came = call["pictures"] == [hashlib.sha256(data).hexdigest()]
    assert as_it_came == (kind == "image/png")
    assert [w["field"] for w in job.get("warnings", [])] == ["outputFormat"] * as_it_came
    spool = Path(gateway.environment["DARKROOM_DATA_DIR"], "spool")
    assert list(spool.glob("*.picture")) == []
