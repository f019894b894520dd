"""What is claimed while a provider's breaker is open: only jobs that may go on elsewhere; on a real Redis."""

import pytest
from redis.asyncio import Redis

from jobs import moves
from jobs.gauges import Breaker, Gauges
from jobs.ids import new_id
from jobs.model import Fallback, ImageRequest, Job, Options, Target, now_ms
from jobs.store import RedisJobStore

pytestmark = pytest.mark.anyio
ELSEWHERE = (Fallback(target=Target("openai", "o")),)


@pytest.fixture
async def redis(redis_url):
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def gauges(redis):
    return Gauges(redis, "{test}:")


@pytest.fixture
def store(redis):
    return RedisJobStore(redis, "{test}:", "http://here")


async def created(store, *fallbacks, org="acme", provider="gemini"):
    now = now_ms()
    job = Job(
        id=new_id("job"),
        org=org,
        subject="s",
        face="jobs",
        request=ImageRequest(provider=provider, model="m", prompt="p"),
        options=Options(),
        created_ms=now,
        updated_ms=now,
        cancel_at_ms=now + 60_000,
        fallbacks=fallbacks,
    )
    await store.create(job)
    return job


async def claim(store):
    return await store.claim_next(new_id("turn"), "worker", 15_000)


async def move(store):
    """The next claim, which goes on elsewhere."""
    found = await claim(store)
    assert not found.room
    await store.commit(found.job, moves.fall_back(found.job, now_ms(), "shut"), found.fence)
    return found.job


async def shut(gauges, provider="gemini"):
    await gauges.report(provider, "bad", 1, Breaker(1, 60_000))


async def test_a_job_that_may_go_on_elsewhere_is_claimed_to_do_so_and_waits_in_the_next_lane(store, gauges, redis):
    job = await created(store, *ELSEWHERE)
    await shut(gauges)

    moved = await move(store)
    again = await claim(store)

    assert (moved.id, again.job.id, again.job.request.provider) == (job.id, job.id, "openai")
    assert (again.room, again.fence) == (True, 2)
    assert await redis.zcard("{test}:ready:acme/openai") == 0
    assert [(await gauges.health(p)).running for p in ("gemini", "openai")] == [0, 1]


async def test_a_job_with_nowhere_else_to_go_waits_and_asks_for_no_turn(store, gauges):
    await created(store)
    await shut(gauges)
    await store.beat("worker", 15_000, 1, [])

    assert await claim(store) is None
    assert await store.missing_turns(1) == []


async def test_a_job_that_may_go_on_elsewhere_asks_for_a_turn(store, gauges):
    await created(store, *ELSEWHERE)
    await shut(gauges)
    await store.beat("worker", 15_000, 1, [])
    await store.redis.delete("{test}:turns")  # the one that was asked for at its acceptance never came

    assert len(await store.missing_turns(1)) == 1


async def test_one_that_goes_on_is_no_probe_of_the_breaker(store, gauges):
    await created(store, *ELSEWHERE)
    await shut(gauges)

    await move(store)

    assert (await gauges.health("gemini")).breaker == "open"


async def test_one_orgs_many_that_go_on_hold_up_no_other_orgs_job(store, gauges):
    for _ in range(20):
        await created(store, *ELSEWHERE, org="a")
    other = await created(store, org="b", provider="azure-openai")
    for provider in ("gemini", "openai"):
        await shut(gauges, provider)

    await move(store)
    second = await claim(store)

    assert second.job == other
