"""What is asked of a Redis, as it sees it: each command from outside, and how many its script runs inside."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from urllib.parse import urlsplit

import redis

from jobs.redis.scripts import script_text
from tests.neighbours import wait_until

TIMED = frozenset({
    "INFO",
    "PING",
    "SUBSCRIBE",
    "lease_blobs",
    "lease_deliveries",
    "missing_turns",
    "reap_leases",
    "renew_leases",
    "trim_indexes",
})  # fmt: skip
"""What is asked as time goes by, whatever jobs there are."""


class RedisMonitor:
    """Counts by name: a command's, or its script's. Whoever asks for the counts has all that was done before."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._names = {_digest(name): name for name in _script_names()}
        self._outside: Counter[str] = Counter()
        self._inside: Counter[str] = Counter()
        self._marks: set[str] = set()
        self._last = ""

    def read(self, lines: Iterable[bytes]) -> None:
        """Take what MONITOR tells, to its end."""
        for line in lines:
            where, _, what = line.decode(errors="replace").partition("] ")
            words = what.split('"')[1:4:2]
            if where.endswith(" lua"):
                self._inside[self._last] += 1
            elif words:
                self._last = self._name(*words)
                self._outside[self._last] += 1

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """From outside, and inside scripts by the script, since the last time that it was asked."""
        mark = f"mark-{len(self._marks)}"
        with redis.Redis.from_url(self._url) as client:
            client.echo(mark)
        wait_until(lambda: mark in self._marks, what="the monitor")
        found = self._outside, self._inside
        self._outside, self._inside = Counter(), Counter()
        return found

    def _name(self, command: str, first: str = "") -> str:
        if command == "ECHO":
            self._marks.add(first)
        return self._names.get(first, "a script") if command.upper() in {"EVALSHA", "EVAL"} else command.upper()


@contextmanager
def monitored(url: str) -> Iterator[RedisMonitor]:
    """Begins to count what is asked of that Redis."""
    monitor, address = RedisMonitor(url), urlsplit(url)
    with closing(socket.create_connection((address.hostname, address.port))) as connection:
        connection.sendall(b"MONITOR\r\n")
        lines = connection.makefile("rb")
        assert lines.readline() == b"+OK\r\n"
        reading = threading.Thread(target=monitor.read, args=(lines,), daemon=True)
        reading.start()
        yield monitor
        connection.shutdown(socket.SHUT_RDWR)
        reading.join()


def _script_names() -> Iterator[str]:
    folder = files("jobs.redis") / "lua"
    return (file.name.removesuffix(".lua") for file in folder.iterdir() if file.name.endswith(".lua"))


def _digest(script: str) -> str:
    """As Redis names it."""
    return hashlib.sha1(script_text(script).encode()).hexdigest()
