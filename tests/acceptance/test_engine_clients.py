"""The simulated engines with clients that other people wrote for the real ones, unchanged."""

import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from app.simulator.automatic1111 import TITLES
from app.simulator.comfyui.classes import CHECKPOINTS
from app.simulator.draw import draw
from tests.neighbours import free_port, start, stop, wait_until

HERE = Path(__file__).parents[1] / "clients" / "engines"
PROGRAMS = HERE / ".venv" / "bin"
GRAPH = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 255}},
    "2": {"class_type": "DrSleep", "inputs": {"image": ["1", 0], "seconds": 0.5, "steps": 5, "seed": 1}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "cli"}},
}


@pytest.fixture(autouse=True)
def _installed():
    if not (PROGRAMS / "python").is_file():
        pytest.skip("the engines' clients are not installed: `scripts/test` does it")


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "a picture.png"
    file.write_bytes(draw("a mug", "beef", 64, 48))
    return file


def said(folder, program, *arguments):
    """What a client prints, as JSON; it asks nobody else."""
    quiet = {"DO_NOT_TRACK": "1", "COMFY_NO_UPDATE_CHECK": "1"}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **quiet}
    command = [str(PROGRAMS / program), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=200, cwd=folder, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_comfy_cli_runs_a_workflow_and_is_told_which_nodes_ran(shared_simulator, tmp_path):
    (tmp_path / "workflow.json").write_text(json.dumps(GRAPH))
    host, port = shared_simulator.url.removeprefix("http://").split(":")
    workflow = ("run", "--workflow", "workflow.json", "--host", host, "--port", port, "--wait")

    told = said(tmp_path, "comfy", "--skip-prompt", "--no-enable-telemetry", *workflow)["data"]

    assert (told["status"], told["executed_node_ids"]) == ("completed", ["1", "2", "3"])
    assert httpx.get(told["outputs"][0]).headers["content-type"] == "image/png"


def test_comfy_api_simplified_uploads_a_picture_and_gets_another(shared_simulator, tmp_path, picture):
    told = said(tmp_path, "python", HERE / "simplified.py", shared_simulator.url, picture)

    assert told == {
        "name": "darkroom/a picture.png",
        "files": ["x_00001_.png"],
        "sizes": [[64, 48]],
        "queue": {"queue_running": [], "queue_pending": []},
        "version": "0.33.0",
        "checkpoints": list(CHECKPOINTS),
        "embeddings": [],
        "refused": "Request failed with status code 400: Bad Request",
    }


def test_comfy_sdk_follows_a_run_sees_one_fail_and_cancels_a_third(shared_simulator, tmp_path, picture):
    port = free_port()
    command = [str(PROGRAMS / "comfy-api-proxy"), "run", "--comfyui", shared_simulator.url, "--port", str(port)]
    proxy = start(command, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(f"{url}/api/v2/health"), what="the proxy")

        told = said(tmp_path, "python", HERE / "sdk.py", url, picture)
    finally:
        stop(proxy)

    assert (told["status"], told["size"]) == ("succeeded", [64, 48])
    assert {"Progress", "OutputReady"} <= set(told["events"])
    assert (told["failing"], told["canceled"]) == ("failed", "canceled")


def test_webuiapi_sets_a_model_draws_edits_and_interrupts(shared_simulator, tmp_path):
    told = said(tmp_path, "python", HERE / "webui.py", *shared_simulator.url.removeprefix("http://").split(":"))

    assert told == {
        "models": sorted(TITLES),
        "model": TITLES[1],
        "samplers": ["DPM++ 2M", "Euler a"],
        "schedulers": ["automatic", "karras"],
        "sizes": [[64, 48], [64, 48]],
        "used": "sd-xl",
        "kept": True,
        "idle": 0,
        "interrupted": 1,
        "refused": 401,
    }


def answers(url):
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False
