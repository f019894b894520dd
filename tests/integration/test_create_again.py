"""A job that is created twice under one id, as after an answer that was lost: the second time changes nothing."""

import pytest

from jobs.errors import QuotaExceeded
from jobs.ids import new_id
from jobs.redis.keys import Keys
from jobs.store.outcomes import Created
from tests.jobs import new_job

pytestmark = pytest.mark.anyio
KEYS = Keys("{test}:")


async def test_a_write_sent_twice_does_not_meet_the_limit_that_it_used_up_itself(store):
    await store.redis.hset(KEYS.limits("acme"), mapping={"imagesPerDay": 1, "maxQueued": 1})
    job = new_job()

    told = [await store.create(job) for _ in range(2)]

    assert all(isinstance(answer, Created) for answer in told)
    assert await store.many("acme", [job.id]) == [job]
    await store.redis.hdel(KEYS.limits("acme"), "maxQueued")
    with pytest.raises(QuotaExceeded):
        await store.create(new_job())


async def test_an_erased_job_is_not_created_again_under_its_id(store):
    job = new_job()
    await store.create(job)
    await store.erase(job)

    await store.create(job)

    assert await store.get(job.id) is None
    assert await store.many("acme", [job.id, new_id("job")]) == [True, False]
    assert await store.many("rival", [job.id]) == [False]
