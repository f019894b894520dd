"""How long an idempotency key is known: longer than what it made, so that nothing is bought again; on a real Redis."""

import pytest

from jobs.client.batches import Batches, BatchSubmission
from jobs.errors import Gone, InvalidInput
from jobs.model import moves
from jobs.model.job import Options
from jobs.model.times import now_ms
from jobs.redis.keys import Keys
from jobs.store.outcomes import Key, Known
from tests.jobs import new_job

pytestmark = pytest.mark.anyio
KEYS = Keys("{test}:")
DAY_MS = 86_400_000


async def ended(store, key, **options):
    job = new_job(options=Options(**options))
    await store.create(job, key)
    return await store.commit(job, moves.cancel(job, now_ms(), by="me"))


@pytest.mark.parametrize("expires_after", [None, 3_600, 30 * 86_400])
async def test_a_key_outlives_the_record_of_its_job_by_as_long_as_the_job_is_known_to_be_gone(store, expires_after):
    job = await ended(store, Key("k", "f"), expires_after=expires_after)

    key = await store.redis.pttl(KEYS.idempotency("acme:6:tester:k"))

    assert key >= await store.redis.pttl(KEYS.job(job.id)) + 29 * DAY_MS
    assert key >= await store.redis.pttl(KEYS.tombstone(job.id))


async def test_the_same_request_after_the_record_is_gone_is_told_of_the_job_and_buys_nothing(store):
    job = await ended(store, Key("k", "f"))
    await store.redis.delete(KEYS.job(job.id))  # past its retention

    again = await store.create(new_job(), Key("k", "f"))

    assert again == Known(job.id, "f")
    assert await store.erased("acme", job.id)


async def test_the_same_batch_after_its_record_is_gone_is_told_so_and_buys_nothing(redis):
    batches = Batches(redis, "{test}:", jobs=None, submitter=None, eraser=None)
    refused = InvalidInput("made up", field="prompt")
    asked = BatchSubmission(org="acme", subject="-", submissions=[refused], fingerprint="f", idempotency_key="k")
    batch, replayed = await batches.submit(asked)
    name, record = KEYS.record_named("batch", "acme:1:-:k"), KEYS.record("batch", batch.id)

    lasts = await redis.pttl(name) - await redis.pttl(record)
    await redis.delete(record)  # past its retention

    assert not replayed
    assert lasts >= 29 * DAY_MS
    with pytest.raises(Gone) as gone:
        await batches.submit(asked)
    assert gone.value.details["batchId"] == batch.id
