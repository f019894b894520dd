"""A process ends when it is told to, whatever it is doing: within its grace, or at once where nothing is to finish."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.neighbours import free_port, start, wait_until
from tests.neighbours.gateway import STARTING_SECONDS, Gateway, environment, token
from tests.neighbours.redis_server import running_redis
from tests.neighbours.tcp_proxy import running_relay

SLOW = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "[delay=90] A red fox"}
FOX = {**SLOW, "prompt": "A red fox"}
LONG_GRACE = 300
"""Seconds that a worker gives the jobs in its hands, where there are none, or it is not to take them."""
GRACE = 2
"""The same where it is to take them and no longer."""
SOON = 25
"""Seconds: far from `LONG_GRACE`, and time enough for a busy machine. Alone the ends take one or two."""


@pytest.fixture
def redis():
    with running_redis() as server:
        yield server


@pytest.fixture
def gateway(redis, simulator, tmp_path):
    """Nothing of it runs yet; it writes its log to files."""
    port = free_port()
    told = {"DARKROOM_LOG_LEVEL": "info", "DARKROOM_DRAIN_SECONDS": str(LONG_GRACE)}
    gateway = Gateway(environment(redis.url, simulator, str(tmp_path / "data"), port, **told), port)
    gateway.logs = tmp_path
    yield gateway
    for child in gateway.children:
        child.kill()
        child.wait()


@pytest.fixture
def silent():
    """A server that lets connect, and says nothing."""
    with Silent() as server:
        yield server


class Silent(contextlib.ExitStack):
    def __init__(self):
        super().__init__()
        self._listener = self.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._listener.settimeout(STARTING_SECONDS)
        self.port = self._listener.getsockname()[1]

    def accept(self):
        self.enter_context(self._listener.accept()[0])


def starting(gateway, name, _):
    gateway.preloaded = False
    child = gateway.start(name)
    loaded = Path(f"/proc/{child.pid}/maps")
    wait_until(lambda: "pydantic_core" in loaded.read_text(), STARTING_SECONDS, what="the start")
    return child


def without_redis(gateway, name, _):
    gateway.environment["REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"
    child = gateway.start(name)
    wait_until(lambda: "Redis is unavailable" in said(gateway, name), STARTING_SECONDS, what="the word about it")
    return child


def with_a_silent_redis(gateway, name, silent):
    gateway.environment["REDIS_URL"] = f"redis://127.0.0.1:{silent.port}/0"
    child = gateway.start(name)
    silent.accept()
    return child


def without_blobs(gateway, name, _):
    gateway.environment["AZURE_STORAGE_CONNECTION_STRING"] = azure(free_port())
    child = gateway.start(name) if name == "api" else gateway.start_worker()
    wait_until(lambda: lives(gateway) if name == "api" else gateway.working(), STARTING_SECONDS, what=name)
    return child


def idle(gateway, name, _):
    gateway.start_api()
    gateway.start_worker()
    wait_until(gateway.working, STARTING_SECONDS, what="the worker")
    return gateway.workers[0] if name == "worker" else gateway.api


def busy(gateway, name, simulator):
    """A job whose call is open, and its caller waits."""
    child = idle(gateway, name, None)
    threading.Thread(target=ask, args=(gateway,), daemon=True).start()
    wait_until(simulator.bench.calls, what="the call")
    return child


@pytest.mark.parametrize("name", ["api", "worker"])
@pytest.mark.parametrize(
    ("state", "number"),
    [
        (starting, signal.SIGTERM),
        (without_redis, signal.SIGINT),
        (with_a_silent_redis, signal.SIGTERM),
        (without_blobs, signal.SIGTERM),
        (idle, signal.SIGTERM),
        (idle, signal.SIGINT),
    ],
    ids=lambda value: getattr(value, "__name__", None) or value.name,
)
def test_a_signal_ends_a_process_that_has_nothing_to_finish(gateway, silent, *, state, name, number, record_property):
    child = state(gateway, name, silent)

    seconds, status = told_to_end(child, number)

    record_property("seconds", seconds)
    assert seconds < SOON
    assert status == (128 + number if state is starting else 0)


def test_a_signal_ends_an_api_whose_callers_wait_and_each_is_told_where_its_job_is(gateway, simulator):
    child = idle(gateway, "api", None)
    answers = []
    caller = threading.Thread(target=lambda: answers.append(ask(gateway)))
    caller.start()
    wait_until(simulator.bench.calls, what="the call")

    seconds, status = told_to_end(child, signal.SIGTERM)

    caller.join(SOON)
    assert (seconds < SOON, status) == (True, 0)
    assert (answers[0].status_code, "x-job-id" in answers[0].headers) == (504, True)


def test_a_signal_ends_an_api_with_a_request_that_never_ends_within_its_grace(gateway, record_property):
    child = gateway.start_api()
    with half_a_request(gateway):
        seconds, status = told_to_end(child, signal.SIGTERM)

    record_property("seconds", seconds)
    assert (seconds < SOON, status) == (True, 0)


@pytest.mark.parametrize("redis_is", ["there", "gone", "stopped"])
def test_a_signal_ends_a_worker_whose_job_does_not_end_after_its_grace(
    gateway, redis, simulator, *, redis_is, record_property
):
    gateway.environment["DARKROOM_DRAIN_SECONDS"] = str(GRACE)
    child = busy(gateway, "worker", simulator)
    if redis_is == "gone":
        redis.kill()
    if redis_is == "stopped":
        redis.pause()

    seconds, status = told_to_end(child, signal.SIGTERM)

    record_property("seconds", seconds)
    assert (GRACE <= seconds < GRACE + SOON, status) == (True, 0)


def test_a_signal_ends_a_worker_that_waits_for_its_blob_store_after_its_grace(gateway, azurite, record_property):
    with running_relay(azurite.port) as relay:
        address = azurite.connection_string.replace(str(azurite.port), str(relay.port))
        gateway.environment |= {"DARKROOM_DRAIN_SECONDS": str(GRACE), "AZURE_STORAGE_CONNECTION_STRING": address}
        child = idle(gateway, "worker", None)
        relay.shut()
        with gateway.client() as client:
            client.post("/api/v1/jobs", json=FOX)
        wait_until(lambda: "the blob store is unavailable" in said(gateway, "worker"), what="the word about it")

        seconds, status = told_to_end(child, signal.SIGTERM)

    record_property("seconds", seconds)
    assert (GRACE <= seconds < GRACE + SOON, status) == (True, 0)


def test_a_signal_ends_a_worker_whose_post_to_a_webhook_does_not_end_after_its_grace(gateway, silent, record_property):
    gateway.environment |= {"DARKROOM_DRAIN_SECONDS": str(GRACE), "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    child = idle(gateway, "worker", None)
    with gateway.client() as client:
        client.post("/api/v1/jobs", json={**FOX, "webhook": {"url": f"http://127.0.0.1:{silent.port}/"}})
    silent.accept()

    seconds, status = told_to_end(child, signal.SIGTERM)

    record_property("seconds", seconds)
    assert (seconds < GRACE + SOON, status) == (True, 0)


def test_a_supervisor_that_repeats_itself_cuts_no_call_and_an_interrupt_ends_a_draining_worker_at_once(
    gateway, simulator, record_property
):
    child = busy(gateway, "worker", simulator)
    child.send_signal(signal.SIGTERM)
    wait_until(lambda: "draining" in said(gateway, "worker"), what="the word about it")
    child.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(1)

    seconds, status = told_to_end(child, signal.SIGINT)

    record_property("seconds", seconds)
    assert (seconds < SOON, status) == (True, 128 + signal.SIGINT)


@pytest.mark.parametrize("redis_is", ["there", "gone"])
def test_an_api_whose_port_is_taken_says_so_in_one_line_and_ends(gateway, redis_is):
    if redis_is == "gone":
        gateway.environment["REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"
    with socket.create_server(("127.0.0.1", int(gateway.environment["DARKROOM_PORT"]))):
        status = gateway.start("api").wait(STARTING_SECONDS)

    (line,) = said(gateway, "api").splitlines()
    assert status == 2
    assert line.startswith("darkroom: DARKROOM_PORT: ")
    assert gateway.environment["DARKROOM_PORT"] in line


@pytest.mark.parametrize("state", ["starting", "with a worker that hangs"])
def test_a_signal_ends_all_of_dev(tmp_path, state, record_property):
    command = [sys.executable, "-m", "app.cli", "dev", "--json", "--port", "0", "--data-dir", str(tmp_path)]
    told = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"} or name.startswith("COV")}
    with start(command, env=told, stdout=subprocess.PIPE) as dev:
        wait_until(lambda: len(children_of(dev.pid)) == 4, STARTING_SECONDS, what="the children")
        children = children_of(dev.pid)
        if state == "with a worker that hangs":
            assert dev.stdout.readline()
            os.kill(next(pid for pid in children if named(pid, "worker")), signal.SIGSTOP)
        seconds, status = told_to_end(dev, signal.SIGTERM)

    record_property("seconds", seconds)
    assert (seconds < SOON, status) == (True, 0)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def told_to_end(child, number):
    begun = time.monotonic()
    child.send_signal(number)
    status = child.wait(LONG_GRACE)
    return round(time.monotonic() - begun, 2), status


def lives(gateway):
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{gateway.url}/healthz", timeout=2).is_success
    return False


def said(gateway, name):
    return (gateway.logs / f"{name}.log").read_text()


def ask(gateway):
    with gateway.client() as client, contextlib.suppress(httpx.HTTPError):
        return client.post("/api/v1/agents/images", json=SLOW)


@contextlib.contextmanager
def half_a_request(gateway):
    """A caller that has sent its headers, and is slow with the rest."""
    with socket.create_connection(("127.0.0.1", int(gateway.environment["DARKROOM_PORT"]))) as caller:
        authorization = f"Authorization: Bearer {token('acme')}"
        caller.sendall(f"POST /api/v1/jobs HTTP/1.1\r\nHost: here\r\n{authorization}\r\n".encode())
        caller.sendall(b"Content-Type: application/json\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
        assert caller.recv(100).startswith(b"HTTP/1.1 100")
        yield


def azure(port):
    return f"AccountName=somebody;AccountKey=c29tZWtleQ==;BlobEndpoint=http://127.0.0.1:{port}/somebody;"


def children_of(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(child) for child in found.stdout.split()]


def named(pid, word):
    return word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
