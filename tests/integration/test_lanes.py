"""What is claimed while a provider's breaker is open: only jobs that may go on elsewhere; on a real Redis."""

import asyncio

import pytest

from jobs.access.orgs import OrgChange, Orgs
from jobs.ids import new_id
from jobs.model import moves
from jobs.model.request import Fallback, Target
from jobs.model.times import now_ms
from jobs.redis.fields import LimitField
from jobs.redis.keys import Keys
from jobs.store.breaker import Breaker
from tests.jobs import claims_of, lose_worker, new_job

pytestmark = pytest.mark.anyio
KEYS = Keys("{test}:")
ELSEWHERE = (Fallback(target=Target("openai", "o")),)


@pytest.fixture
def breaker(redis):
    return Breaker(redis, "{test}:", max_failures=1, open_ms=60_000)


async def created(store, *fallbacks, org="acme", provider="gemini"):
    job = new_job(provider, org=org, fallbacks=fallbacks)
    await store.create(job)
    return job


async def claim(store):
    return await claims_of(store).claim_next(new_id("turn"), "worker", 15_000)


async def move(store):
    """The next claim, whose job goes on elsewhere."""
    found = await claim(store)
    assert not found.room
    await store.commit(found.job, moves.fall_back(found.job, now_ms(), "shut"), found.fence)
    return found


async def shut(breaker, provider="gemini"):
    await breaker.record_call(breaker.ended_call(provider, "m", "bad", 1))


async def test_a_job_that_may_go_on_elsewhere_is_claimed_to_do_so_and_waits_in_the_next_lane(store, breaker, redis):
    job = await created(store, *ELSEWHERE)
    await shut(breaker)

    moved = await move(store)
    again = await claim(store)

    assert (moved.job.id, again.job.id, again.job.request.provider) == (job.id, job.id, "openai")
    assert (moved.room, again.room) == (False, True)
    assert again.fence > moved.fence
    assert await redis.zcard(KEYS.ready("acme", "openai")) == 0
    assert [(await breaker.health(p)).running for p in ("gemini", "openai")] == [0, 1]


async def test_a_job_with_nowhere_else_to_go_waits_and_asks_for_no_turn(store, breaker):
    await created(store)
    await shut(breaker)
    await claims_of(store).renew("worker", 15_000, 1, [])

    assert await claim(store) is None
    assert await claims_of(store).missing_turns(1) == []


async def test_a_job_that_may_go_on_elsewhere_asks_for_a_turn(store, breaker):
    await created(store, *ELSEWHERE)
    await shut(breaker)
    await claims_of(store).renew("worker", 15_000, 1, [])
    await store.redis.delete(KEYS.turns)  # the one that was asked for at its acceptance never came

    assert len(await claims_of(store).missing_turns(1)) == 1


async def test_one_that_goes_on_is_no_probe_of_the_breaker(store, breaker):
    await created(store, *ELSEWHERE)
    await shut(breaker)

    await move(store)

    assert (await breaker.health("gemini")).breaker == "open"


async def test_one_orgs_many_that_go_on_hold_up_no_other_orgs_job(store, breaker):
    for _ in range(20):
        await created(store, *ELSEWHERE, org="a")
    other = await created(store, org="b", provider="azure-openai")
    for provider in ("gemini", "openai"):
        await shut(breaker, provider)

    await move(store)
    second = await claim(store)

    assert second.job == other


async def test_a_job_with_nowhere_to_go_holds_up_none_behind_it_that_may_leave(store, breaker):
    for _ in range(30):
        await created(store)
    behind = await created(store, *ELSEWHERE)
    await shut(breaker)
    await claims_of(store).renew("worker", 15_000, 1, [])
    await store.redis.delete(KEYS.turns)

    assert len(await claims_of(store).missing_turns(1)) == 1
    assert (await move(store)).job.id == behind.id


async def test_where_there_is_room_age_decides_and_not_whether_a_job_may_leave(store):
    jobs = []
    for fallbacks in ((), ELSEWHERE, (), ELSEWHERE):
        jobs.append(await created(store, *fallbacks))
        await asyncio.sleep(0.002)  # of the same millisecond neither is the older

    assert [(await claim(store)).job.id for _ in jobs] == [job.id for job in jobs]


async def test_orgs_that_wait_for_a_shut_provider_are_in_nobodys_way_to_another_however_many_they_are(store, breaker):
    for number in range(120):
        await created(store, org=f"a{number:03}")
    other = await created(store, org="b", provider="openai")
    await shut(breaker)
    await claims_of(store).renew("worker", 15_000, 1, [])
    await store.redis.delete(KEYS.turns)

    assert len(await claims_of(store).missing_turns(1)) == 1
    assert (await claim(store)).job == other
    assert await claim(store) is None


async def test_orgs_that_run_as_many_as_they_may_are_in_nobodys_way_however_many_they_are(store):
    for number in range(120):
        await created(store, org=f"a{number:03}")
        await store.redis.hset(KEYS.limits(f"a{number:03}"), "maxRunning", "0")
    other = await created(store, org="b")
    await claims_of(store).renew("worker", 15_000, 1, [])
    await store.redis.delete(KEYS.turns)

    assert len(await claims_of(store).missing_turns(1)) == 1
    assert (await claim(store)).job == other
    assert await claims_of(store).missing_turns(1) == []


async def test_a_claim_costs_the_same_however_many_orgs_wait_for_a_shut_provider(store, breaker):
    await shut(breaker, "azure-openai")
    assert await claim(store) is None  # Redis has the script from here on
    costs = []
    for orgs in (3, 100):
        for number in range(orgs):
            await created(store, org=f"a{number:03}")
        await shut(breaker)
        await created(store, org="b", provider="openai")
        await store.redis.config_resetstat()
        assert await claim(store)
        stats = await store.redis.info("commandstats")
        costs.append(sum(each["calls"] for name, each in stats.items() if name != "cmdstat_config|resetstat"))
        await store.redis.delete(KEYS.breaker("gemini"))

    assert costs[0] == costs[1]


async def test_lanes_that_have_run_empty_are_forgotten(store, redis):
    for fallbacks in ((), ELSEWHERE):
        await created(store, *fallbacks)
        assert await claim(store)
    assert await claim(store) is None

    assert await redis.exists(KEYS.ready_orgs, KEYS.lanes, KEYS.lanes_of_org("acme")) == 0
    assert await redis.keys(KEYS.orgs_in_lane("*")) == []


async def throttled(store, number, running=0):
    """So many orgs, each with a job that waits while the org runs as many as it may."""
    for each in range(number):
        org = f"t{each:03}"
        await created(store, org=org)
        await store.redis.hset(KEYS.limits(org), LimitField.MAX_RUNNING, running)


async def scripts_run(redis):
    return (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]


async def test_a_claim_costs_the_same_however_many_orgs_run_as_many_as_they_may(store, redis):
    costs = []
    for orgs in (3, 300):
        await redis.flushdb()
        await throttled(store, orgs)
        for _ in range(2):
            await created(store, org="u")
        assert (await claim(store)).job.org == "u"
        await redis.config_resetstat()

        assert (await claim(store)).job.org == "u"

        stats = await redis.info("commandstats")
        costs.append(sum(each["calls"] for name, each in stats.items() if name != "cmdstat_config|resetstat"))

    assert costs[0] == costs[1]


async def test_one_script_passes_over_a_bounded_number_of_orgs_and_the_next_goes_on(store, redis):
    await throttled(store, 120)
    await created(store, org="u")
    await claims_of(store).renew("worker", 15_000, 1, [])
    await redis.config_resetstat()

    found = await claim(store)

    assert found.job.org == "u"
    assert await scripts_run(redis) == 3
    assert await claim(store) is None


async def one_of_two_running(store):
    """An org that may run one job: the claim of one, and the id of the other, which no claim is given."""
    await store.redis.hset(KEYS.limits("acme"), LimitField.MAX_RUNNING, 1)
    first, second = await created(store), await created(store)
    running = await claims_of(store).claim_next(new_id("turn"), "worker", 15_000)
    assert await claim(store) is None
    assert running.job.id in {first.id, second.id}
    return running, ({first.id, second.id} - {running.job.id}).pop()


async def test_an_org_is_let_in_again_when_a_job_of_its_ends(store):
    running, waiting = await one_of_two_running(store)

    await store.commit(running.job, moves.cancel(running.job, now_ms(), by="me"))

    assert (await claim(store)).job.id == waiting


async def test_an_org_is_let_in_again_when_a_job_of_its_is_erased(store):
    running, waiting = await one_of_two_running(store)

    await store.erase(running.job)

    assert (await claim(store)).job.id == waiting


async def test_an_org_is_let_in_again_when_it_may_run_more(store, redis):
    _, waiting = await one_of_two_running(store)

    await Orgs(redis, "{test}:").change("acme", OrgChange(max_running=2))

    assert (await claim(store)).job.id == waiting


async def test_an_org_is_let_in_again_when_a_worker_of_its_dies(store):
    running, _ = await one_of_two_running(store)
    await lose_worker(store, "worker")

    assert (await claim(store)).job.id == running.job.id
    assert await claim(store) is None


async def test_a_job_that_comes_while_its_org_is_full_is_claimed_in_its_turn(store):
    running, waiting = await one_of_two_running(store)
    late = await created(store, provider="openai")
    assert await claim(store) is None

    await store.commit(running.job, moves.cancel(running.job, now_ms(), by="me"))
    await Orgs(store.redis, "{test}:").change("acme", OrgChange(max_running=None))

    assert [(await claim(store)).job.id for _ in range(2)] == [waiting, late.id]
