"""Real neighbours for the tests: started on free ports of loopback, ended by their own pid."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path


def free_port() -> int:
    """A port of loopback on which nobody listens, for a server that sets SO_REUSEADDR, as all of ours do.

    It stays bound here, though nobody can listen to that: so it is given neither to another test, in whatever process,
    nor to a connection, before the server has begun, or while it is killed and started again.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    if len(_held) == _held.maxlen:
        _held.popleft().close()
    _held.append(probe)
    return probe.getsockname()[1]


_held: deque[socket.socket] = deque(maxlen=1_000)


def start(command: Sequence[str], **kwargs) -> subprocess.Popen[bytes]:
    """A child that is killed when the test process ends, however it ends."""
    return subprocess.Popen(
        command,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  # the child sets one flag before it becomes another program
        stdin=subprocess.DEVNULL,
        **kwargs,
    )


def stop(child: subprocess.Popen[bytes], seconds: float = 10) -> int:
    child.terminate()
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def wait_until(true: Callable[[], bool], seconds: float = 40, what: str = "it") -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what} did not come true within {seconds} s"
        time.sleep(0.02)


def decoders(pid: int) -> list[int]:
    """The processes that a process has begun to decode pictures."""
    found = [int(c) for children in Path(f"/proc/{pid}/task").glob("*/children") for c in children.read_text().split()]
    return [child for child in found if b"jobs.pictures.apart" in Path(f"/proc/{child}/cmdline").read_bytes()]


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


def _die_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
