"""Foundry's agents with Microsoft's own client, unchanged, in two of its generations."""

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.neighbours.gateway import token

CLIENTS = Path(__file__).parents[1] / "clients"
TOOL = {"type": "image_generation", "quality": "low", "size": "1024x1024"}


@pytest.fixture(scope="module", params=["foundry", "foundry2"])
def walk(request, gateway):
    """What a client found."""
    python = CLIENTS / request.param / ".venv" / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"the packages of tests/clients/{request.param} are not installed: `scripts/test` does it")
    told = {"url": gateway.url, "token": token(f"walkers-{request.param}"), "stranger": token("strangers")}
    command = [str(python), str(CLIENTS / "foundry" / "walk.py")]
    done = subprocess.run(command, input=json.dumps(told), text=True, capture_output=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_versions_are_numbered_and_never_change(walk):
    name = walk["made"][0][1]

    assert walk["made"] == [[f"{name}:{n}", name, str(n), f"Version {n}"] for n in (1, 2, 3)]
    assert walk["got"]["definition"]["instructions"] == "Version 2"
    assert walk["got"]["description"] == "Paints"
    assert walk["tool"] == TOOL
    assert walk["latest"] == "3"


def test_lists_end_and_have_each_once_in_either_order(walk):
    assert walk["listed"] == ["3", "2", "1"]
    assert walk["upwards"] == ["1", "2", "3"]
    assert walk["agents"] == [walk["made"][0][1]]


def test_a_number_is_not_given_twice(walk):
    assert walk["left"] == ["2", "1"]
    assert walk["again"] == "4"


def test_refusals_are_the_clients_own_errors(walk):
    assert {name: error["status"] for name, error in walk["errors"].items()} == {
        "missing": 404,
        "name": 400,
        "auth": 401,
        "stranger": 404,
    }
    assert walk["deleted"]["status"] == 404


def test_a_version_is_run_by_the_client_that_made_it(walk, shared_simulator):
    name = walk["made"][0][1]
    calls = {call["prompt"]: call for call in shared_simulator.bench.calls(name)}

    for text, pictures in zip(("a fox", "a cat"), walk["pictures"], strict=True):
        call = calls[f"Version 1\n\n{name}: {text}"]
        assert [hashlib.sha256(base64.b64decode(result)).hexdigest() for result in pictures] == call["pictures"]
        assert call["model"] == "gpt-image-1"
        assert call["fields"]["quality"] == "low"
    assert len(calls) == 2


def test_the_documented_call_works_as_printed(gateway):
    body = {
        "description": "Test agent for image generation capabilities",
        "definition": {
            "kind": "prompt",
            "model": "gpt-4.1-mini",
            "tools": [{"type": "image_generation"}],
            "instructions": "You are a creative assistant that generates images when requested.",
        },
    }
    with gateway.client("printers") as client:
        answers = [
            client.post(
                f"{base}/agents/MyAgent/versions?api-version=2025-11-15-preview",
                content=json.dumps(body),
                headers={"Content-Type": "application/json"},
            )
            for base in ("/api/projects/p", "")
        ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["version"] for answer in answers] == ["1", "2"]
    assert answers[0].json()["definition"] == body["definition"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"definition": {"kind": "hosted", "model": "x"}}, "definition.kind"),
        ({"definition": {"kind": "prompt"}}, "definition.model"),
        ({"definition": {"kind": "prompt", "model": "x", "tools": "image"}}, "definition.tools"),
        ({"definition": {"kind": "prompt", "model": "x"}, "metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"definition": {"kind": "prompt", "model": "x"}, "descripton": ""}, "descripton"),
    ],
)
def test_a_version_that_cannot_be_kept_is_refused_by_its_field(gateway, body, field):
    with gateway.client() as client:
        answer = client.post("/agents/A/versions", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field
