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


def test_the_walk_with_openais_client_makes_edits_and_streams(gateway, tmp_path):
    with gateway.client(scope="admin:image-gen write:image-gen read:image-gen") as admin:
        key = admin.post("/api/v1/keys", json={"name": "reader"}).json()["data"]["key"]
    pasted = snippet("from openai").replace("http://127.0.0.1:8000", gateway.url).replace("aigw_sk_…", key)

    done = subprocess.run(
        [sys.executable, "-c", pasted], cwd=tmp_path, text=True, capture_output=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    edited, *events, azure = done.stdout.split()
    assert (tmp_path / "fox.png").read_bytes().startswith(b"\x89PNG")
    assert [httpx.get(url).status_code for url in (edited, azure)] == [200, 200]
    assert events[-1] == "image_generation.completed"
