"""Requests byte for byte, as no client library sends them, and what comes of them."""

import contextlib
import json
import socket
from pathlib import Path

import httpx

from tests.acceptance.conftest import JOBS
from tests.neighbours.gateway import token

BEARER = f"Authorization: Bearer {token('acme')}\r\n"
MUG = json.dumps({"provider": "gemini", "model": "gemini-2.5-flash-image", "prompt": "A mug"}).encode()
MAX_GROWTH = 24
"""MiB that a process may grow by what other work it does meanwhile; each of the floods took more when it was kept."""
FLOOD = 32 * 2**20
"""Bytes that are sent, if they are taken."""


@contextlib.contextmanager
def no_growth(gateway):
    """The process keeps nothing of what happens here, not even for a moment, and answers others afterwards."""
    process = Path(f"/proc/{gateway.api.pid}")
    (process / "clear_refs").write_text("5")  # the peak begins anew (proc_pid_clear_refs(5))
    before = peak(process)
    yield
    assert httpx.get(f"{gateway.url}/healthz", timeout=60).status_code == 200
    assert peak(process) - before < MAX_GROWTH


def peak(process):
    """The most memory that the process has held, in MiB."""
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


@contextlib.contextmanager
def connected(gateway):
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), timeout=20) as link:
        yield link


def post(*headers, path=JOBS):
    """The head of a post whose body comes in chunks."""
    own = ["Host: x", "Content-Type: application/json", "Transfer-Encoding: chunked", "Prefer: respond-async"]
    return "\r\n".join([f"POST {path} HTTP/1.1", *own, *headers, "", ""]).encode()


def chunks(body, size):
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def flooded(link, piece):
    """Send `piece` again and again; whether the connection was cut before `FLOOD` bytes were taken."""
    sent = 0
    try:
        while sent < FLOOD:
            sent += link.send(piece)
    except ConnectionError:
        return True
    return False


def answered(link):
    """Everything that comes until the connection ends, or until nothing comes any more."""
    got = b""
    with contextlib.suppress(OSError):
        while piece := link.recv(65_536):
            got += piece
    return got


def exchanged(gateway, request, seconds=20):
    with connected(gateway) as link:
        link.sendall(request)
        link.settimeout(seconds)
        return answered(link)


def status(got):
    return int(got.split(b" ", 2)[1])


def job_id(got):
    return json.loads(got.partition(b"\r\n\r\n")[2])["data"]["id"]
