"""In which order an org's own jobs are claimed: by priority, which ages, and by who waits; on a real Redis."""

import pytest
from msgspec.structs import replace

from jobs.model.job import Options
from jobs.model.times import now_ms
from tests.jobs import claims_of, new_job

pytestmark = pytest.mark.anyio
MINUTE = 60_000


def job(priority="normal", *, waited_ms=0, provider="gemini"):
    made = now_ms() - waited_ms
    return new_job(provider, options=Options(priority=priority), created_ms=made, updated_ms=made)


async def claimed(store, jobs):
    """The jobs in the order in which one worker gets them."""
    names = {each.id: name for name, each in jobs.items()}
    found = []
    for _ in jobs:
        claim = await claims_of(store).claim_next("turn", "worker", 15_000)
        found.append(names[claim.job.id])
    return found


async def created(store, jobs, waiting=()):
    for name, each in jobs.items():
        await store.create(each, waited=name in waiting)
    return jobs


async def test_priority_comes_first_and_age_decides_inside_it(store):
    jobs = {"low": job("low"), "second": job(waited_ms=10), "first": job(waited_ms=20), "high": job("high")}

    assert await claimed(store, await created(store, jobs)) == ["high", "first", "second", "low"]


async def test_a_job_that_has_waited_long_enough_is_before_new_ones_of_a_higher_priority(store):
    jobs = {
        "high": job("high"),
        "low for 31 minutes": job("low", waited_ms=31 * MINUTE),
        "low for 29 minutes": job("low", waited_ms=29 * MINUTE),
    }

    assert await claimed(store, await created(store, jobs)) == ["low for 31 minutes", "high", "low for 29 minutes"]


async def test_a_job_that_somebody_waits_for_has_a_minutes_head_start(store):
    jobs = {"half a minute old": job(waited_ms=MINUTE // 2), "two minutes old": job(waited_ms=2 * MINUTE), "new": job()}

    assert await claimed(store, await created(store, jobs, waiting={"new"})) == [
        "two minutes old",
        "new",
        "half a minute old",
    ]


async def test_an_orgs_providers_are_one_queue(store):
    jobs = {
        "third": job(waited_ms=10, provider="azure-openai"),
        "first": job(waited_ms=30, provider="openai"),
        "second": replace(job(waited_ms=20), metadata={"k": "v"}),
    }

    assert await claimed(store, await created(store, jobs)) == ["first", "second", "third"]
