"""Whether replicas of Redis know of a record: a failover to one of them cannot lose it then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs.outage import Outage
from jobs.redis.connection import translate_redis_errors
from jobs.redis.fields import JobField
from jobs.redis.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.model.job import Job

WAIT_MS: Final = 2_000
"""For the replicas' answers."""
KEEP_MARK_MS: Final = 60_000


class Replication:
    """`replicas`: how many have to know; 0: nothing is asked."""

    def __init__(self, redis: Redis, prefix: str, replicas: int) -> None:
        self._redis = redis
        self._keys = Keys(prefix)
        self._replicas = replicas
        self._outage = Outage("a replica of Redis")

    async def has(self, job: Job) -> bool:
        """Whether enough replicas know of the job as it is here. Raises `ServiceUnavailable`.

        Its version is read, for this may be a primary that was a replica until now and has not heard of it.
        """
        if not self._replicas:
            return True
        with translate_redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            pipe.hget(self._keys.job(job.id), JobField.VERSION)
            pipe.set(self._keys.replication_mark, job.id, px=KEEP_MARK_MS)  # WAIT speaks of its connection's own writes
            pipe.wait(self._replicas, WAIT_MS)
            version, _, count = await pipe.execute()
        enough = int(version or -1) >= job.version and count >= self._replicas
        if enough:
            self._outage.over()
        else:
            self._outage.failed(f"{count} of {self._replicas} know of what was written")
        return enough
