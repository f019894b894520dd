"""Which job a create adopts, told again when its answer was lost, and at what cost; on a real Redis."""

import pytest

from jobs.model import moves
from jobs.model.job import Failure
from jobs.model.times import now_ms
from jobs.redis.fields import JobField
from jobs.redis.keys import Keys
from jobs.store.outcomes import Adopted, Created
from tests.jobs import new_job

pytestmark = pytest.mark.anyio
KEYS = Keys("{test}:")
LONG_MS = 100_000


def wish():
    return new_job(face="agents", adoptable=True, fingerprint="f")


async def asked(store):
    job = wish()
    assert isinstance(await store.create(job, None, LONG_MS), Created)
    return job


async def waits_end(store, *jobs):
    """Their waits are over, and nobody has said so: the API that had them crashed."""
    await store.redis.zadd(KEYS.undelivered("acme", "tester", "f"), {job.id: now_ms() for job in jobs})


async def commands(store):
    stats = await store.redis.info("commandstats")
    return sum(
        each["calls"] for name, each in stats.items() if name not in {"cmdstat_config|resetstat", "cmdstat_info"}
    )


async def test_an_adoption_whose_answer_was_lost_is_answered_again(store):
    earlier = await asked(store)
    await store.left(earlier)
    job = wish()

    told = [await store.create(job, None, LONG_MS) for _ in range(2)]

    assert told == [Adopted(earlier.id)] * 2
    assert isinstance(await store.create(wish(), None, LONG_MS), Created)
    assert 0 < await store.redis.pttl(KEYS.adopted(job.id)) <= 60_000


async def test_whoever_was_left_first_or_whose_wait_is_over_is_adopted_and_nobody_who_is_waited_for(store):
    waited = await asked(store)
    over, left = await asked(store), await asked(store)
    await waits_end(store, over)
    await store.left(left)

    answers = [await store.create(wish(), None, LONG_MS) for _ in range(3)]

    assert answers[:2] == [Adopted(left.id), Adopted(over.id)]
    assert isinstance(answers[2], Created)
    assert await store.redis.zscore(KEYS.undelivered("acme", "tester", "f"), waited.id) is not None


async def test_a_job_is_not_adopted_when_it_was_delivered_failed_or_is_too_old(store):
    delivered, failed, old = [await asked(store) for _ in range(3)]
    await waits_end(store, failed, old)
    await store.delivered(delivered)
    await store.left(delivered)
    await store.commit(failed, moves.fail(failed, now_ms(), Failure(code="SERVICE_UNAVAILABLE", message="made up")))
    await store.redis.hset(KEYS.job(old.id), JobField.ADOPTABLE_UNTIL, 1)

    assert isinstance(await store.create(wish(), None, LONG_MS), Created)


async def test_a_create_costs_the_same_however_many_equal_jobs_are_waited_for(store):
    await asked(store)  # loads the script
    costs = []
    for _ in range(2):
        await store.redis.config_resetstat()
        await asked(store)
        costs.append(await commands(store))
        for _ in range(150):
            await asked(store)

    assert abs(costs[0] - costs[1]) <= 1  # a turn is asked for once
