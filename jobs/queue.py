"""What arq and the scripts agree on: how a turn lies in arq's queue."""

from __future__ import annotations

from typing import Any, Final

import arq.connections
import arq.jobs
import arq.worker
import msgspec
from arq.connections import ArqRedis
from arq.jobs import serialize_job
from redis.asyncio import ConnectionPool
from redis.asyncio.client import Pipeline

from jobs.model.times import now_ms
from jobs.redis.keys import Keys

TURN: Final = "turn"
"""The arq function that asks the store for jobs until there is none."""


def carry_prefix(prefix: str) -> None:
    """Put our prefix before arq's own keys, which arq keeps as module constants, and let it go by our clock.

    So one Redis ACL pattern and one hash slot hold everything of ours. A process serves one prefix.
    """
    for module in (arq.connections, arq.jobs, arq.worker):
        for name, value in _ARQ_KEYS.items():
            if hasattr(module, name):
                setattr(module, name, prefix + value)
        module.timestamp_ms = now_ms  # type: ignore[attr-defined]  # arq imports it there, and does not say so


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
    return _ArqRedis(
        pool_or_conn=pool,
        job_serializer=serialize,
        job_deserializer=deserialize,
        default_queue_name=Keys(prefix).arq_turns,
    )


class _ArqRedis(ArqRedis):
    """What arq reads and counts of a turn that begins is one trip, and needs no transaction."""

    def pipeline(self, *_: Any, **__: Any) -> Pipeline:
        """See redis-py."""
        return super().pipeline(transaction=False)


def serialize(value: Any) -> bytes:
    """What arq keeps of a turn, as msgpack; an exception becomes its text."""
    return msgspec.msgpack.encode(value, enc_hook=repr)


def deserialize(data: bytes) -> Any:
    """The reverse of `serialize`."""
    return msgspec.msgpack.decode(data)


TURN_DOCUMENT: Final = serialize_job(TURN, (), {}, None, 0, serializer=serialize)
"""What arq is to run as a turn, in arq's form. It has no arguments: what to do is asked of the store when it begins."""
