"""Connections on which one thing comes behind another: requests, handshakes, and the end."""

import base64
import threading
from pathlib import Path

import pytest

from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.raw_calls import (
    BEARER,
    MUG,
    answered,
    chunks,
    connected,
    exchanged,
    flooded,
    job_id,
    no_growth,
    post,
    status,
)

STREAMS = 4
KEY = base64.b64encode(bytes(16)).decode()
UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
)


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    room = {"DARKROOM_STREAMS": str(4 * STREAMS)}  # of which a caller has a quarter
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, workers=0, **room) as running:
        yield running


@pytest.fixture(scope="module")
def large(gateway):
    """The path of a picture that no socket's buffers hold."""
    name = "images/acme/2026-11-25/large.png"
    path = Path(gateway.environment["DARKROOM_DATA_DIR"]) / "blobs" / "files" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(40_000_000))
    return f"/files/{name}"


def test_requests_behind_each_other_are_answered_in_order(gateway):
    paths = ["/healthz", "/nothing", "/docs", "/healthz", "/nothing"]
    head = "".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths)

    got = exchanged(gateway, head.encode(), seconds=2)

    assert [status(b"x " + rest) for rest in got.split(b"HTTP/1.1 ")[1:]] == [200, 404, 200, 200, 404]


def test_requests_behind_each_other_without_end_are_cut_and_not_kept(gateway):
    with no_growth(gateway), connected(gateway) as link:
        reader = threading.Thread(target=answered, args=(link,))
        reader.start()

        assert flooded(link, b"GET / HTTP/1.1\r\n\r\n" * 3_600)

        reader.join()


@pytest.mark.parametrize("behind", ["no HTTP at all\r\n\r\n", "upgrade"])
def test_what_comes_behind_a_request_does_not_get_into_its_answer(gateway, large, behind):
    with connected(gateway) as link:
        link.sendall(f"GET {large} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        got = link.recv(65_536)
        link.sendall((f"{UPGRADE}\r\n" if behind == "upgrade" else behind).encode())
        got += answered(link)

    assert got.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "more",
    [f"A: {'b' * 10_000}\r\n\r\n", "A: b\r\n" * 1_000 + "\r\n"],
    ids=["a long header", "many headers"],
)
def test_a_websocket_whose_handshake_is_too_large_is_answered_and_let_go(gateway, more):
    got = exchanged(gateway, (UPGRADE + more).encode(), seconds=5)

    assert status(got) == 431


def test_a_handshake_has_no_body_and_no_trailer(gateway):
    trailer = f"Transfer-Encoding: chunked\r\n\r\n0\r\n{BEARER}\r\n"

    got = exchanged(gateway, (UPGRADE + trailer).encode(), seconds=5)

    assert status(got) == 400


def test_who_leaves_a_stream_with_a_request_behind_it_leaves_its_place_too(gateway):
    job = job_id(exchanged(gateway, post(BEARER.strip(), "Connection: close") + chunks(MUG, 50) + b"0\r\n\r\n"))
    stream = f"GET /v1/images/progress/{job} HTTP/1.1\r\nHost: x\r\n{BEARER}\r\n".encode()

    for _ in range(STREAMS):
        with connected(gateway) as link:
            link.sendall(stream + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert link.recv(12) == b"HTTP/1.1 200"

    wait_until(lambda: opens(gateway, stream), 10, what="room for a stream")


def opens(gateway, request):
    with connected(gateway) as link:
        link.sendall(request)
        return link.recv(12) == b"HTTP/1.1 200"
