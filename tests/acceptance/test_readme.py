"""What the README tells people to paste does what it says."""

import re
import subprocess
import sys
from pathlib import Path

import httpx

README = (Path(__file__).parents[2] / "README.md").read_text()


def snippet(holding):
    (found,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if holding in block]
    return found


def pasted(holding, gateway, folder):
    """What the program prints, with a key for its own."""
    with gateway.client(scope="admin:image-gen write:image-gen read:image-gen") as admin:
        key = admin.post("/api/v1/keys", json={"name": "reader"}).json()["data"]["key"]
    program = snippet(holding).replace("http://127.0.0.1:8000", gateway.url).replace("aigw_sk_…", key)
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_walk_with_openais_client_makes_edits_and_streams(gateway, tmp_path):
    edited, *events, azure = pasted("from openai", gateway, tmp_path).split()

    assert (tmp_path / "fox.png").read_bytes().startswith(b"\x89PNG")
    assert [httpx.get(url).status_code for url in (edited, azure)] == [200, 200]
    assert events[-1] == "image_generation.completed"


def test_the_walk_with_responses_edits_in_the_background_and_streams(gateway, tmp_path):
    head, *_, last = pasted("responses.create", gateway, tmp_path).splitlines()

    assert head.startswith("b'PNG'")
    assert last == "response.completed"


def test_the_walk_with_our_own_client_keeps_its_picture(gateway, tmp_path, shared_simulator):
    before = len(shared_simulator.bench.calls())

    pasted("from app.client", gateway, tmp_path)

    assert (tmp_path / "lighthouse.jpg").read_bytes().startswith(b"\xff\xd8")
    assert len(shared_simulator.bench.calls()) - before == 4
