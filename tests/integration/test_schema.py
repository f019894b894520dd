"""The number of a record's form: two versions of us can run side by side, and a third is left alone."""

import msgspec
import pytest
from redis.asyncio import Redis

from jobs.redis.fields import JobField
from jobs.redis.keys import Keys
from jobs.store.documents import SCHEMA, SchemaUnknown
from jobs.store.jobs import RedisJobStore
from tests.jobs import claims_of, new_job

pytestmark = pytest.mark.anyio
PREFIX = "{test}:"


@pytest.fixture
async def redis(redis_url):
    async with Redis.from_url(redis_url) as client:
        yield client


async def kept(redis, job, **changes):
    """The job in the store, its record changed as another version might have written it."""
    store = RedisJobStore(redis, PREFIX, "http://here")
    await store.create(job)
    document = msgspec.json.decode(await redis.hget(Keys(PREFIX).job(job.id), "document"))
    changed = {name: value for name, value in (document | changes).items() if value is not None}
    await redis.hset(Keys(PREFIX).job(job.id), "document", msgspec.json.encode(changed))
    return store


async def test_a_record_says_its_form(redis):
    job = new_job()
    await RedisJobStore(redis, PREFIX, "http://here").create(job)

    document = msgspec.json.decode(await redis.hget(Keys(PREFIX).job(job.id), "document"))

    assert document["schema"] == SCHEMA


async def test_a_record_of_the_form_before_is_read(redis):
    job = new_job()
    store = await kept(redis, job, schema=None)

    assert await store.get(job.id) == job


async def test_a_record_of_a_newer_form_is_refused_loudly_and_left_as_it_is(redis):
    job = new_job()
    store = await kept(redis, job, schema=SCHEMA + 1, novelty={"a": 1})
    before = await redis.hgetall(Keys(PREFIX).job(job.id))

    with pytest.raises(SchemaUnknown, match=f"form {SCHEMA + 1}"):
        await store.get(job.id)

    assert await redis.hgetall(Keys(PREFIX).job(job.id)) == before


async def test_a_worker_leaves_a_job_of_a_newer_form_alone_and_takes_the_one_behind_it(redis):
    newer, behind = new_job(), new_job()
    store = await kept(redis, newer, schema=SCHEMA + 1, novelty={"a": 1})
    await redis.hset(Keys(PREFIX).job(newer.id), JobField.SCHEMA, SCHEMA + 1)
    before = await redis.hgetall(Keys(PREFIX).job(newer.id))
    await store.create(behind)

    found = await claims_of(store).claim_next("turn", "worker", 15_000)

    assert found.job == behind
    assert await claims_of(store).claim_next("turn", "worker", 15_000) is None
    assert await redis.hgetall(Keys(PREFIX).job(newer.id)) == before


async def test_a_job_of_a_newer_form_waits_for_a_worker_that_reads_it(redis):
    job = new_job()
    store = await kept(redis, job)
    await redis.hset(Keys(PREFIX).job(job.id), JobField.SCHEMA, SCHEMA + 1)
    assert await claims_of(store).claim_next("turn", "worker", 15_000) is None
    await redis.hset(Keys(PREFIX).job(job.id), JobField.SCHEMA, SCHEMA)  # as if the worker were a newer one
    await redis.zadd(Keys(PREFIX).backing_off, {job.id: 0})

    assert (await claims_of(store).claim_next("turn", "worker", 15_000)).job == job
