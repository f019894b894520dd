"""Responses with OpenAI's Agents SDK, unchanged: its image tool, a second turn on the first, and streaming."""

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.neighbours.gateway import token

CLIENT = Path(__file__).parents[1] / "clients" / "openaiagents"


@pytest.fixture(scope="module")
def walk(gateway):
    """What the SDK found."""
    python = CLIENT / ".venv" / "bin" / "python"
    if not python.is_file():
        pytest.skip("openai-agents is not installed: `scripts/test` does it")
    told = json.dumps({"url": gateway.url, "token": token("walkers")})
    command = [str(python), str(CLIENT / "walk.py")]
    done = subprocess.run(command, input=told, text=True, capture_output=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_each_run_has_its_picture_by_one_call(walk, shared_simulator):
    prompts = {"first": "a fox", "second": "now grey", "streamed": "a streamed fox"}

    for run, prompt in prompts.items():
        (call,) = shared_simulator.bench.calls(f"agents: {prompt}")
        (made,) = walk[run]
        assert made["type"] == "image_generation_call"
        assert call["prompt"] == f"Paint in oil.\n\nagents: {prompt}"
        assert [hashlib.sha256(base64.b64decode(made["result"])).hexdigest()] == call["pictures"]


def test_the_second_turn_edits_the_picture_of_the_first(walk, shared_simulator):
    (first,) = shared_simulator.bench.calls("agents: a fox")
    (second,) = shared_simulator.bench.calls("agents: now grey")

    assert first["inputs"] == []
    assert len(second["inputs"]) == 1
    assert walk["last"] == "response.completed"
    assert "no text model" in walk["text"]
    assert walk["tokens"] > 0
