"""What is left in Redis of jobs, batches and deliveries that are past their retention; on a real Redis."""

import asyncio

import pytest

from jobs.client.batches import Batches, BatchSubmission
from jobs.errors import InvalidInput, Outcome
from jobs.model import moves
from jobs.model.times import now_ms
from jobs.redis.keys import Keys
from jobs.store.jobs import RedisJobStore
from jobs.store.outcomes import Key
from jobs.webhooks.delivery import DeliveryAttempt, after_attempt
from jobs.webhooks.endpoint import Endpoint, Secret
from jobs.webhooks.outbox import Outbox, outbox_rows
from tests.jobs import claims_of, new_job

pytestmark = pytest.mark.anyio
PREFIX = "{test}:"
KEYS = Keys(PREFIX)
ENDPOINT = Endpoint(
    id="whe_x", org="acme", url="https://r.example/", events=("image.job.queued", "image.job.canceled"),
    secrets=(Secret(sealed="s"),), created_ms=0, updated_ms=0,
)  # fmt: skip
KNOWN_TO_BE_GONE = ("tombstone:", "idempotency:", "batch_named:")


@pytest.fixture
def store(redis):
    async def endpoints(_):
        return (ENDPOINT,)

    return RedisJobStore(redis, PREFIX, "http://here", outbox_rows=outbox_rows(endpoints))


async def finished(store, org="acme"):
    job = new_job(org=org)
    await store.create(job, Key(f"key of {job.id}", "f"))
    claim = await claims_of(store).claim_next("turn", "worker", 15_000)
    job = await store.commit(claim.job, moves.start(claim.job, now_ms()), claim.fence)
    job = await store.commit(job, moves.intend(job, now_ms(), (0,)), claim.fence)
    settled = moves.settle(job, now_ms(), 1, outcome=Outcome.REFUSED, charged=False)
    job = await store.commit(job, settled, claim.fence)
    return await store.commit(job, moves.cancel(job, now_ms(), by="me"))


async def ended(store, org="acme"):
    job = await finished(store, org)
    return await store.commit(job, moves.stop(job, now_ms()))


async def delivered(redis):
    outbox = Outbox(redis, PREFIX)
    for row in (await outbox.due(100, 30_000, 100)).deliveries:
        attempt = DeliveryAttempt(at_ms=now_ms(), took_ms=0, status=200)
        after = after_attempt(row, attempt, (0,), spread=1.0, retry_after=None)
        assert await outbox.settle(row, after, 0, good=True)


async def refused_batch(redis):
    batches = Batches(redis, PREFIX, jobs=None, submitter=None, eraser=None)
    refused = InvalidInput("made up", field="prompt")
    asked = BatchSubmission(org="acme", subject="-", submissions=[refused], fingerprint="f", idempotency_key="k")
    await batches.submit(asked)


async def retention_passes(redis):
    """Each key that has an end has come to it, save those that say what is gone."""
    for key in await redis.keys("*"):
        kept = key.decode().removeprefix(PREFIX).startswith(KNOWN_TO_BE_GONE)
        if not kept and await redis.pttl(key) > 0:
            await redis.pexpire(key, 1)
    await asyncio.sleep(0.01)
    ends = await redis.zrange(KEYS.index_ends, 0, -1)
    if ends:
        await redis.zadd(KEYS.index_ends, dict.fromkeys(ends, 0))


async def test_past_retention_nothing_is_left_but_what_says_that_it_is_gone(store, redis):
    for org in ("acme", "acme", "rival"):
        await ended(store, org)
    await delivered(redis)
    await refused_batch(redis)
    assert await claims_of(store).claim_next("turn", "worker", 15_000) is None

    await retention_passes(redis)
    await claims_of(store).trim()
    await claims_of(store).stop("worker", 1)

    left = {key.decode().removeprefix(PREFIX) for key in await redis.keys("*")}
    assert {name for name in left if not name.startswith(KNOWN_TO_BE_GONE)} == {KEYS.virtual_time.removeprefix(PREFIX)}


async def test_what_lives_on_stays_in_its_index(store, redis):
    job = await ended(store)
    await delivered(redis)
    await redis.zadd(KEYS.index_ends, dict.fromkeys(await redis.zrange(KEYS.index_ends, 0, -1), 0))

    await claims_of(store).trim()

    assert (await store.page("acme", None, 10)).jobs == (job,)
    assert len(await Outbox(redis, PREFIX).below("acme", None, 10)) == 2
    assert await redis.zcount(KEYS.index_ends, now_ms() + 60_000, "+inf") == 3


async def test_an_erased_job_leaves_no_index_at_once(store, redis):
    job = await ended(store)
    await delivered(redis)

    await store.erase(job)

    assert await redis.exists(KEYS.jobs_of_org("acme"), KEYS.deliveries_of_org("acme"), KEYS.index_ends) == 0


async def test_tags_of_orgs_that_the_virtual_time_has_passed_are_forgotten(store, redis):
    for number in range(20):
        await store.create(new_job(org=f"o{number:02}"))
    for _ in range(20):
        await store.create(new_job(org="busy"))

    for _ in range(40):
        assert await claims_of(store).claim_next("turn", "worker", 15_000) is not None

    assert await redis.zcard(KEYS.tags) == 1
