"""Children that begin as copies of a process which has loaded the product: their start costs none of its imports.

Half of a test run would be imports otherwise. All else is as in production: a process of its own with the arguments and
the environment that it is given. What is told another PYTHONPATH is started from nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = (
    "app.cli.main",
    "app.server.process",
    "jobs.worker.process",
    "PIL.ImageOps",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.WebPImagePlugin",
    "azure.storage.blob.aio",
    "google.genai",
    "openai.resources.images",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
)
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER (prctl(2)): orphans below this process become its own children."""


class Child:
    """A process as `subprocess.Popen` has it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, below 0 for a signal; None: it runs."""
        return self._collect(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self._collect(0 if end is None else os.WNOHANG)) is None:
            if end is not None and time.monotonic() >= end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _collect(self, flags: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, flags)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


def start_darkroom(arguments: Sequence[str], environment: Mapping[str, str], log: Path | None = None) -> Child:
    """`darkroom ARGUMENTS`; `log` takes what it writes to standard error."""
    if log:
        log.touch()
    told = {"arguments": arguments, "environment": dict(environment), "log": log and str(log), "parent": os.getpid()}
    with _one_at_a_time, _adopting_orphans():
        _, loaded = _loaded()
        loaded.write(json.dumps(told).encode() + b"\n")
        loaded.flush()
        return Child(int(loaded.readline()))


_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    prctl = ctypes.CDLL(None).prctl
    prctl(SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(SUBREAPER, 0)


@functools.cache
def _loaded():
    """The process that has loaded everything, and a connection to it, with which it ends."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        child = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT, stdin=subprocess.DEVNULL)
    atexit.register(_unload, child, ours)
    return child, ours.makefile("rwb")


def _unload(child: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()
    child.wait()


def _serve(told: socket.socket) -> None:
    """Make a copy for each line; returns in the copies, when they are to begin."""
    for module in MODULES:
        importlib.import_module(module)
    assert threading.active_count() == 1, "a copy has only the thread that makes it"
    lines = told.makefile("rwb")
    while line := lines.readline():
        order = json.loads(line)
        pid = _copy(order["parent"])
        if pid is None:
            told.close()
            return _become(order)
        lines.write(b"%d\n" % pid)
        lines.flush()
    return sys.exit()


def _copy(parent: int) -> int | None:
    """A copy that is a child of `parent`; None in the copy itself."""
    reading, writing = os.pipe()
    between = os.fork()
    if between:
        os.close(writing)
        pid = int(os.read(reading, 20))
        os.close(reading)
        os.waitpid(between, 0)
        return pid
    if pid := os.fork():
        os.write(writing, b"%d" % pid)
        os._exit(0)
    while os.getppid() != parent:
        time.sleep(0.001)
    for number in (reading, writing):
        os.close(number)
    return None


def _become(order) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["darkroom", *order["arguments"]]
    if order["log"]:
        with Path(order["log"]).open("ab") as log:
            os.dup2(log.fileno(), 2)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))

    from app.cli.main import main

    main()
