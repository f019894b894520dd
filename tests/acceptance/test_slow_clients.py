"""Clients that dribble their request: cut with a word, while others are served."""

import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import AGENTS
from tests.neighbours.gateway import running_gateway, token
from tests.neighbours.redis_server import running_redis


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    settings = {"DARKROOM_HEADER_SECONDS": "1", "DARKROOM_BODY_SECONDS": "1.5", "DARKROOM_SEND_SECONDS": "2"}
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, workers=0, **settings) as running:
        yield running


def dribble(gateway, first, *, every=0.1, most=8.0):
    """Send `first`, then a byte now and then; answers what came back and after how long the server ended it."""
    port = int(gateway.url.rpartition(":")[2])
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(first)
        link.settimeout(every)
        got = b""
        while time.monotonic() - begun < most:
            try:
                piece = link.recv(4096)
                if not piece:
                    break
                got += piece
            except TimeoutError:
                try:
                    link.sendall(b"a")
                except OSError:
                    break
            except OSError:
                break
    return got, time.monotonic() - begun


def head(length):
    return (
        f"POST {AGENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token('acme')}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def test_headers_that_never_end_are_cut(gateway):
    got, seconds = dribble(gateway, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")

    assert got.startswith(b"HTTP/1.1 408 ")
    assert seconds < 8


def test_a_connection_that_says_nothing_is_cut(gateway):
    port = int(gateway.url.rpartition(":")[2])
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        assert link.recv(4096).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - begun < 8


def test_a_request_that_came_while_the_process_did_not_run_is_answered(gateway):
    port = int(gateway.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(b"GET /healthz HTTP/1.1\r\n")
        time.sleep(0.5)  # its deadline begins
        gateway.api.send_signal(signal.SIGSTOP)
        link.sendall(b"Host: x\r\n\r\n")
        time.sleep(1.5)  # and is over
        gateway.api.send_signal(signal.SIGCONT)

        assert link.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_never_ends_is_cut_and_others_are_served_meanwhile(gateway):
    got, seconds = dribble(gateway, head(1_000_000) + b'{"prompt": "')

    assert got.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"TIMEOUT"' in got
    assert 1 < seconds < 8
    assert httpx.get(f"{gateway.url}/healthz").status_code == 200


def test_headers_beyond_64_kb_are_refused(gateway):
    port = int(gateway.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        got = b""
        try:
            link.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
            for _ in range(200):
                link.sendall(b"X-Big: " + b"a" * 1_000 + b"\r\n")
            got = link.recv(4096)
        except OSError:
            got = got or link.recv(4096)
    assert got.startswith(b"HTTP/1.1 431 ")


LARGE = 40_000_000


@pytest.fixture
def large(gateway):
    """The path of a picture that no socket's buffers hold."""
    name = "images/acme/2026-11-25/large.png"
    path = Path(gateway.environment["DARKROOM_DATA_DIR"]) / "blobs" / "files" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(LARGE))
    return f"/files/{name}"


def read(gateway, path, *, pause, rest):
    """Ask for `path`, read 200 kB, `pause` after each of them for `rest` seconds in all, then read on; what came."""
    port = int(gateway.url.rpartition(":")[2])
    got = 0
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        end = time.monotonic() + rest
        try:
            while piece := link.recv(200_000):
                got += len(piece)
                if time.monotonic() < end:
                    time.sleep(pause)
        except ConnectionResetError:
            pass
    return got


def test_who_takes_nothing_of_an_answer_is_cut(gateway, large):
    assert read(gateway, large, pause=6, rest=1) < LARGE


def test_who_takes_an_answer_slowly_gets_all_of_it(gateway, large):
    assert read(gateway, large, pause=0.02, rest=4) > LARGE


def test_a_wait_is_not_a_slow_request(gateway):
    body = {"provider": "gemini", "model": "gemini-2.5-flash-image", "prompt": "Nobody makes it"}
    with gateway.client() as client:
        answer = client.post(AGENTS, json=body, headers={"Prefer": "wait=4"})

    assert answer.status_code == 202


def test_a_kept_connection_may_rest_between_two_requests(gateway):
    with gateway.client() as client:
        client.get("/healthz")
        time.sleep(2)
        assert client.get("/healthz").status_code == 200


def test_a_request_smuggled_behind_two_lengths_is_not_answered(gateway):
    port = int(gateway.url.rpartition(":")[2])
    sneaky = (
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(sneaky)
        got = link.recv(65536)
    assert got.count(b"HTTP/1.1 ") == 1
    assert got.startswith(b"HTTP/1.1 400 ")
