"""Where a queued job stands and how far one is that runs, on a real Redis."""

from functools import partial

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from jobs.access.orgs import OrgChange, Orgs
from jobs.catalog.families import Catalog
from jobs.client.estimates import Estimates
from jobs.ids import new_id
from jobs.model import moves
from jobs.model.account import accounts_of, single
from jobs.model.job import Failure, Options, Phase, Progress
from jobs.model.times import now_ms
from jobs.store.breaker import Breaker
from jobs.store.position import queue_position
from jobs.store.stats import Stats
from tests.jobs import claims_of, new_job

pytestmark = pytest.mark.anyio
PREFIX = "{test}:"
FAILURE = Failure(code="SYSTEM_ERROR", message="m")
MODELS = {"gemini": "gemini-3-pro-image", "openai": "gpt-image-2"}


def estimates_on(redis, **limits):
    position_of = partial(queue_position, redis, PREFIX)
    stats, accounts = Stats(redis, PREFIX), single(limits)
    return Estimates(stats=stats, position_of=position_of, catalog=Catalog.load(), accounts=accounts)


@pytest.fixture
def breaker(redis):
    return Breaker(redis, PREFIX, max_failures=2, open_ms=60_000)


@pytest.fixture
def estimates(redis):
    return estimates_on(redis, openai=1)


def job(provider="gemini", priority="normal", *, waited_ms=0, org="acme"):
    made, options = now_ms() - waited_ms, Options(priority=priority)
    return new_job(provider, model=MODELS[provider], org=org, options=options, created_ms=made, updated_ms=made)


async def created(store, *jobs):
    for each in jobs:
        await store.create(each)
    return jobs


async def begun(store, each):
    """The job, claimed and in its first call."""
    claim = await claims_of(store).claim_next("turn", "worker", 15_000)
    assert claim.job.id == each.id
    running = await store.commit(claim.job, moves.start(claim.job, now_ms()), claim.fence)
    return claim.fence, await store.commit(running, moves.intend(running, now_ms(), (0,)), claim.fence)


def since(ms, each):
    """The job of `begun`, whose call began so many milliseconds ago."""
    row = replace(each.attempts[0], started_ms=now_ms() - ms)
    return replace(each, attempts=(row,))


async def test_a_position_counts_every_lane_of_the_org_and_no_other_orgs(store, estimates):
    first, low, second, high, _ = await created(
        store,
        job(waited_ms=30),
        job("openai", "low", waited_ms=20),
        job("openai", waited_ms=10),
        job("gemini", "high"),
        job(org="rival", waited_ms=40),
    )

    ahead = [(await estimates.queued(each)).position.ahead for each in (high, first, second, low, job())]

    assert ahead == [0, 1, 2, 3, 4]


async def test_jobs_of_the_same_millisecond_have_positions_of_their_own(store, estimates):
    one = job()
    jobs = await created(store, *(replace(one, id=new_id("job")) for _ in range(5)))

    assert sorted([(await estimates.queued(each)).position.ahead for each in jobs]) == [0, 1, 2, 3, 4]


async def test_looking_costs_as_many_commands_behind_five_hundred_as_behind_five(store, redis):
    async def cost():
        before = (await redis.info("stats"))["total_commands_processed"]
        await queue_position(redis, PREFIX, last, accounts_of({}, "gemini"))
        return (await redis.info("stats"))["total_commands_processed"] - before

    (last,) = await created(store, job(priority="low"))
    await created(store, *(job(p) for p in MODELS for _ in range(5)))
    few = await cost()
    await created(store, *(job(p) for p in MODELS for _ in range(250)))

    assert await cost() == few < 17


async def test_a_start_is_told_by_the_catalog_until_five_calls_were_measured(store, redis, breaker, estimates):
    _, behind = await created(store, job(waited_ms=10), job())
    await claims_of(store).renew("worker", 15_000, 1, [])
    by_catalog = await estimates.live_fields(behind)
    for _ in range(5):
        await breaker.record_call(breaker.ended_call("gemini", MODELS["gemini"], "good", 3_000))
    cached = await estimates.live_fields(behind)
    fresh = estimates_on(redis)
    by_measure = await fresh.live_fields(behind)

    assert by_catalog["queue"] == {"position": 2, "ahead": 1, "estimatedStartSeconds": {"p50": 11.0, "p90": 15.0}}
    assert by_catalog["progress"] == {"value": 0.0, "source": "none", "estimatedFinishSeconds": 22.0}
    assert cached == by_catalog
    assert by_measure["queue"]["estimatedStartSeconds"] == {"p50": 3.0, "p90": 3.0}
    assert by_measure["progress"]["estimatedFinishSeconds"] == 6.0
    assert (estimates.retry_after(behind), fresh.retry_after(behind)) == (11, 3)


async def test_the_times_of_one_model_are_not_told_of_another(breaker, estimates):
    for _ in range(5):
        await breaker.record_call(breaker.ended_call("gemini", "gemini-2.5-flash-image", "good", 1_000))

    pro = await estimates.typical("gemini", MODELS["gemini"])
    flash = await estimates.typical("gemini", "gemini-2.5-flash-image")

    assert (pro.p50, flash.p50) == (11.0, 1.0)
    assert (await breaker.health("gemini")).took_ms == (1_000,) * 5


async def test_without_a_living_worker_there_is_a_position_and_no_time(store, estimates):
    (alone,) = await created(store, job())

    live_fields = await estimates.live_fields(alone)

    assert live_fields == {"queue": {"position": 1, "ahead": 0}, "progress": {"value": 0.0, "source": "none"}}


async def test_a_job_that_backs_off_has_its_place_and_starts_after_the_rest_of_it(store, estimates):
    (early,) = await created(store, job(waited_ms=50))
    await claims_of(store).renew("worker", 15_000, 4, [])
    fence, running = await begun(store, early)
    await created(store, job())

    waiting = await store.commit(running, moves.back_off(running, now_ms(), 30_000), fence)
    live_fields = await estimates.live_fields(waiting)

    assert "phase" not in live_fields
    assert live_fields["queue"]["position"] == 1
    assert 29 < live_fields["queue"]["estimatedStartSeconds"]["p50"] <= 30


async def test_a_queued_job_is_throttled_while_its_org_runs_as_many_as_it_may(store, estimates, redis):
    await Orgs(redis, PREFIX).change("acme", OrgChange(max_running=1))
    early, late = await created(store, job(waited_ms=10), job())
    before = await estimates.live_fields(late)
    await begun(store, early)
    stored = await store.get(late.id)
    assert await claims_of(store).claim_next("turn", "worker", 15_000) is None

    live_fields = await estimates.live_fields(late)

    assert "phase" not in before
    assert live_fields["phase"] == "throttled"
    assert (stored.phase, stored.version) == (Phase.QUEUED, 1)


async def test_a_queued_job_is_throttled_while_its_provider_runs_as_many_as_it_may(store, estimates):
    early, late, other = await created(store, job("openai", waited_ms=10), job("openai"), job(waited_ms=-10))
    await begun(store, early)

    assert (await estimates.live_fields(late))["phase"] == "throttled"
    assert "phase" not in await estimates.live_fields(other)


@pytest.mark.parametrize("ends", [False, True])
async def test_a_job_that_a_worker_took_since_it_was_read_is_neither_in_line_nor_throttled_by_itself(
    store, estimates, ends
):
    (seen,) = await created(store, job("openai"))
    fence, running = await begun(store, seen)
    if ends:
        await store.commit(running, moves.fail(running, now_ms(), FAILURE), fence)

    assert await estimates.live_fields(seen) == {"progress": {"value": 0.0, "source": "none"}}


async def test_a_queued_job_is_throttled_by_an_open_breaker_and_starts_no_sooner_than_it_closes(
    store, breaker, estimates
):
    (queued,) = await created(store, job())
    await claims_of(store).renew("worker", 15_000, 4, [])
    for _ in range(2):
        await breaker.record_call(breaker.ended_call("gemini", "m", "bad", 1))

    live_fields = await estimates.live_fields(queued)

    assert live_fields["phase"] == "throttled"
    assert 59 < live_fields["queue"]["estimatedStartSeconds"]["p50"] <= 60


@pytest.mark.parametrize(
    ("ms", "value", "left"), [(0, 0.0, 11.0), (11_000, 0.738, 4.0), (14_000, 0.809, 1.0), (16_000, 0.843, None)]
)
async def test_while_a_provider_says_nothing_progress_is_estimated_by_the_time(store, estimates, ms, value, left):
    (queued,) = await created(store, job())
    _, running = await begun(store, queued)

    progress = (await estimates.live_fields(since(ms, running)))["progress"]

    assert progress["source"] == "estimated"
    assert progress["value"] == pytest.approx(value, abs=0.01)
    assert progress.get("estimatedFinishSeconds") == (left and pytest.approx(left, abs=0.2))


async def test_what_a_provider_says_goes_before_the_estimate_and_its_pace_tells_the_end(store, estimates):
    (queued,) = await created(store, job())
    fence, running = await begun(store, queued)

    said = moves.progress(running, now_ms(), Progress(value=0.25, step=5, steps=20))
    running = await store.commit(running, said, fence)
    progress = (await estimates.live_fields(since(2_000, running)))["progress"]

    assert progress.pop("estimatedFinishSeconds") == pytest.approx(6.0, abs=0.2)
    assert progress == {"value": 0.25, "source": "provider", "step": 5, "steps": 20}


async def test_an_ended_job_is_as_its_record_says(store, estimates):
    (queued,) = await created(store, job())

    canceled = await store.commit(queued, moves.cancel(queued, now_ms(), by="me"))

    assert await estimates.live_fields(canceled) == {"progress": {"value": 0.0, "source": "none"}}


async def test_with_redis_out_of_reach_the_record_is_told_and_nothing_is_made_up():
    async with Redis.from_url("redis://127.0.0.1:1/0") as nowhere:
        lost = estimates_on(nowhere)

        assert await lost.live_fields(job()) == {"progress": {"value": 0.0, "source": "none"}}
