"""A real Redis that can be killed and started again on the same data."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from app.cli.embedded_redis import redis_command
from tests.neighbours import free_port, listens, start, stop, wait_until


class RedisServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        self._child = start(redis_command(self.port, self._folder))
        wait_until(lambda: listens(self.port), what="Redis")
        wait_until(self._answers, what="Redis' data")

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()

    def pause(self) -> None:
        """It keeps its connections and answers nothing, until it goes on or is killed."""
        self._child.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._child.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.go_on()
        stop(self._child)

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def follow(self, primary: RedisServer) -> None:
        """Be a replica of that one, and have all that it has."""
        with redis.Redis.from_url(self.url) as client:
            client.replicaof("127.0.0.1", primary.port)
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", what="the replica")

    def refuse_writes(self) -> None:
        """`MISCONF` from now on, as when its disk is full: the last snapshot failed."""
        (self._folder / "dump.rdb").unlink(missing_ok=True)  # one that was made for a replica
        (self._folder / "dump.rdb").mkdir()
        with redis.Redis.from_url(self.url) as client:
            client.config_set("save", "3600 1000000000")
            client.bgsave()
            wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", what="the failure")

    def take_writes(self) -> None:
        """As before `refuse_writes`."""
        (self._folder / "dump.rdb").rmdir()
        with redis.Redis.from_url(self.url) as client:
            client.config_set("save", "")

    def commands(self) -> int:
        """How many commands the server has processed, without the one that asks."""
        with redis.Redis.from_url(self.url) as client:
            return client.info("stats")["total_commands_processed"]

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        try:
            yield server
        finally:
            server.stop()
