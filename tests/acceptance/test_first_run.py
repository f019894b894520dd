"""`darkroom dev`: the newcomer's first command."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from jobs.providers import PROVIDERS
from tests.neighbours import start, wait_until

FOX = {"provider": "azure-openai", "model": "gpt-image-2", "prompt": "A red fox in an autumn forest"}


@contextlib.contextmanager
def dev(*flags):
    child = start(
        [sys.executable, "-m", "app.cli", "dev", "--json", *flags], stdout=subprocess.PIPE, env=_environment()
    )
    try:
        line = child.stdout.readline()
        assert line, "ended before it was ready"
        yield child, json.loads(line)
    finally:
        if child.poll() is None:
            child.terminate()
        child.wait(60)
        child.stdout.close()


def _environment():
    return {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "PYTHONPATH"} or k.startswith("COV")}


def _gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(p) for p in found.stdout.split()]


def _post(facts, **fields):
    headers = {"Authorization": f"Bearer {facts['apiKey']}"}
    return httpx.post(f"{facts['url']}/api/v1/agents/images", json={**FOX, **fields}, headers=headers, timeout=60)


def test_one_line_says_all_and_the_first_call_gives_a_picture_marked_as_simulated():
    with dev("--port", "0", "--ephemeral") as (child, facts):
        assert set(facts) == {"url", "apiKey", "redis", "storage", "providers", "pid"}
        assert facts["pid"] == child.pid
        assert facts["providers"] == dict.fromkeys(PROVIDERS, "simulated")
        answer = _post(facts)
        assert answer.status_code == 200
        data = answer.json()["data"]
        assert data["warnings"][0]["code"] == "simulated"
        picture = httpx.get(data["url"])
        assert picture.content.startswith(b"\x89PNG")
        children = _children(child.pid)
        assert len(children) == 4
        begun = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.wait(12) == 0
        assert time.monotonic() - begun < 10
        assert all(_gone(pid) for pid in children)
        assert child.stdout.read() == b""


def test_a_second_start_on_the_same_folder_is_refused_and_a_later_one_keeps_the_jobs(tmp_path):
    with dev("--port", "0", "--data-dir", str(tmp_path)) as (_, facts):
        job_id = _post(facts).headers["x-job-id"]
        second = subprocess.run(
            [sys.executable, "-m", "app.cli", "dev", "--port", "0", "--data-dir", str(tmp_path)],
            capture_output=True,
            text=True,
            env=_environment(),
            check=False,
            timeout=60,
        )
        assert second.returncode == 2
        assert str(tmp_path) in second.stderr
    with dev("--port", "0", "--data-dir", str(tmp_path)) as (_, again):
        assert again["apiKey"] == facts["apiKey"]
        headers = {"Authorization": f"Bearer {again['apiKey']}"}
        job = httpx.get(f"{again['url']}/api/v1/jobs/{job_id}", headers=headers).json()["data"]
        assert job["status"] == "succeeded"


def test_after_kill_9_nothing_stays_and_the_next_start_serves(tmp_path):
    with dev("--port", "0", "--data-dir", str(tmp_path)) as (child, _):
        children = _children(child.pid)
        child.kill()
        child.wait()
        wait_until(lambda: all(_gone(pid) for pid in children), what="the end of the children")
    with dev("--port", "0", "--data-dir", str(tmp_path)) as (_, facts):
        assert _post(facts).status_code == 200


def test_a_child_that_dies_is_started_again(tmp_path):
    with dev("--port", "0", "--data-dir", str(tmp_path)) as (child, facts):
        for pid in _children(child.pid):
            if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        assert _post(facts).status_code == 200


def taken(blocker, port):
    with contextlib.suppress(OSError):
        blocker.bind(("127.0.0.1", port))
        blocker.listen()
        return True
    return False


def test_port_8000_is_taken_or_the_next_with_a_word(tmp_path):
    with socket.socket() as blocker, contextlib.ExitStack() as stack:
        blocker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wait_until(lambda: taken(blocker, 8000), 100, "port 8000, which another test may have")
        _, facts = stack.enter_context(dev("--data-dir", str(tmp_path)))

        assert 8000 < int(facts["url"].rpartition(":")[2]) < 8100


def test_a_wrong_key_is_told_so():
    with dev("--port", "0", "--ephemeral") as (_, facts):
        answer = _post({**facts, "apiKey": "wrong"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")


def test_generate_then_iterate_chains_three_times_by_its_own_loopback_links():
    sepia = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "Add a subtle sepia tone"}
    with dev("--port", "0", "--ephemeral") as (_, facts):
        made = [_post(facts).json()["data"]]
        for body in (sepia, {"prompt": "Now at night"}, sepia):
            reference = {"url": made[-1]["url"], "mimeType": made[-1]["mimeType"]}
            answer = _post(facts, **body, referenceImage=reference)
            assert answer.status_code == 200, answer.text
            made.append(answer.json()["data"])

    assert [m["mode"] for m in made] == ["generate", "edit", "edit", "edit"]
    assert all(m["url"].startswith("http://127.0.0.1:") for m in made)
