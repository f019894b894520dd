"""A failover to a replica that had not heard of the last claim: two real Redis servers."""

import pytest
import redis as sync_redis
from redis.asyncio import Redis

from jobs.model import moves
from jobs.model.times import now_ms
from jobs.store.claims import Claims
from jobs.store.jobs import RedisJobStore
from jobs.store.outcomes import Fenced
from tests.jobs import new_job
from tests.neighbours.redis_server import running_redis

pytestmark = pytest.mark.anyio
PREFIX = "{test}:"


def promote(replica):
    with sync_redis.Redis.from_url(replica.url) as client:
        client.replicaof("NO", "ONE")


async def test_a_replica_that_lost_the_last_claim_does_not_give_its_fencing_number_out_again():
    with running_redis() as primary, running_redis() as replica:
        replica.follow(primary)
        async with Redis.from_url(primary.url) as before, Redis.from_url(replica.url) as after:
            await RedisJobStore(before, PREFIX, "http://here").create(new_job())
            await before.wait(1, 5_000)
            promote(replica)
            lost = await Claims(before, PREFIX).claim_next("turn", "cut off", 60_000)

            store = RedisJobStore(after, PREFIX, "http://here")
            claim = await Claims(after, PREFIX).claim_next("turn", "worker", 60_000)
            with pytest.raises(Fenced):
                await store.commit(lost.job, moves.start(lost.job, now_ms()), lost.fence)
            started = await store.commit(claim.job, moves.start(claim.job, now_ms()), claim.fence)

    assert claim.job.id == lost.job.id
    assert claim.fence > lost.fence
    assert started.status == "running"
