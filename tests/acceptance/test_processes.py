"""What the running processes have loaded: nobody pays for what he does not use."""

import os
import signal
from pathlib import Path

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway

FIXTURES = Path(__file__).parents[1] / "fixtures/modules"


def test_after_a_job_the_api_has_no_provider_sdk_and_the_worker_no_web_framework(redis_url, simulator, tmp_path):
    path = f"{FIXTURES}:{Path(__file__).parents[2]}"
    with running_gateway(redis_url, simulator, PYTHONPATH=path, MODULES_FOLDER=str(tmp_path)) as gateway:
        body = {"provider": "azure-openai", "model": "gpt-image-2", "prompt": "A mug"}
        with gateway.client() as client:
            assert client.post("/api/v1/agents/images", json=body).status_code == 200

        api = _modules(gateway.api.pid, tmp_path)
        worker = _modules(gateway.workers[0].pid, tmp_path)

    assert "litestar" in api
    assert {"openai", "uvloop"} <= worker
    assert not api & {"openai", "google.genai", "PIL", "azure.storage.blob", "jobs.worker.run", "jobs.worker.process"}
    assert not worker & {"litestar", "uvicorn", "app.main"}


def _modules(pid, folder):
    os.kill(pid, signal.SIGUSR1)
    written = folder / f"{pid}.txt"
    wait_until(written.exists, what="the list of modules")
    return set(written.read_text().split())
