"""The only module that enqueues through arq: turns, and the wake-up."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Final

import arq.connections
import arq.jobs
import arq.worker
import msgspec
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from jobs.redis.keys import Keys

TURN: Final = "turn"
"""The arq function that asks the store for jobs until there is none."""
STALE_SECONDS: Final = 15
"""A turn that arq holds for longer than this, and nobody runs, is of a worker that died."""
MAX_SWEPT: Final = 100


def carry_prefix(prefix: str) -> None:
    """Put our prefix before arq's own keys, which arq keeps as module constants.

    So one Redis ACL pattern and one hash slot hold everything of ours. A process serves one prefix.
    """
    for module in (arq.connections, arq.jobs, arq.worker):
        for name, value in _ARQ_KEYS.items():
            if hasattr(module, name):
                setattr(module, name, prefix + value)


_ARQ_KEYS: Final = {
    name: getattr(arq.constants, name)
    for name in (
        "job_key_prefix",
        "in_progress_key_prefix",
        "result_key_prefix",
        "retry_key_prefix",
        "abort_jobs_ss",
    )
}


def arq_redis(pool: ConnectionPool, prefix: str) -> ArqRedis:
    """An arq connection on an existing pool; msgpack, never pickle."""
    carry_prefix(prefix)
    return ArqRedis(
        pool_or_conn=pool,
        job_serializer=serialize,
        job_deserializer=deserialize,
        default_queue_name=Keys(prefix).arq_turns,
    )


class Turns:
    """Rings for workers. A turn has no arguments: what to do is asked of the store when it begins."""

    def __init__(self, redis: ArqRedis, prefix: str) -> None:
        self._redis = redis
        self._keys = Keys(prefix)

    async def ring(self, turn: str) -> None:
        """Enqueue a turn and wake a worker for it. A failure is left to the workers' own slow look."""
        with contextlib.suppress(RedisError):
            await self._redis.enqueue_job(TURN, _job_id=turn)
            await self._redis.publish(self._keys.wakes, turn)

    async def sweep(self) -> None:
        """Take turns of dead workers out of arq's queue, where they would be looked at for a day with every poll."""
        before = int(time.time() - STALE_SECONDS) * 1000
        queue = self._keys.arq_turns
        with contextlib.suppress(RedisError):
            old = await self._redis.zrangebyscore(queue, "-inf", before, 0, MAX_SWEPT)
            if not old:
                return
            running = await self._redis.zmscore(self._keys.turns, old)
            names = [turn.decode() for turn, until in zip(old, running, strict=True) if until is None]
            if names:
                kept = [f"{key}{n}" for n in names for key in map(self._keys.prefix.__add__, _ARQ_KEYS.values())]
                await self._redis.zrem(queue, *names)
                await self._redis.delete(*kept)


def serialize(value: Any) -> bytes:
    """What arq keeps of a turn, as msgpack; an exception becomes its text."""
    return msgspec.msgpack.encode(value, enc_hook=repr)


def deserialize(data: bytes) -> Any:
    """The reverse of `serialize`."""
    return msgspec.msgpack.decode(data)
