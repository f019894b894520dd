"""What every process is told of each change of a job: which job, how it stands, and whose it is; on a real Redis."""

import asyncio

import pytest
from msgspec.structs import replace

from jobs.model import moves
from jobs.model.times import now_ms
from jobs.redis.keys import Keys
from jobs.store.outcomes import Stale
from tests.jobs import new_job

pytestmark = pytest.mark.anyio
KEYS = Keys("{test}:")
SUBJECT = "auth0|someone with a space"


async def heard(news, count):
    """So many messages, and that no other follows."""
    found = []
    async with asyncio.timeout(5):
        while len(found) < count:
            message = await news.get_message(ignore_subscribe_messages=True, timeout=1)
            found += [] if message is None else [message["data"].decode()]
    assert await news.get_message(ignore_subscribe_messages=True, timeout=0.1) is None
    return found


async def test_each_change_is_told_once_with_its_owner(redis, store):
    job = new_job(subject=SUBJECT)
    async with redis.pubsub() as news:
        await news.subscribe(KEYS.changes)
        assert (await news.get_message(timeout=5))["type"] == "subscribe"

        for _ in range(2):  # the answer to the first was lost
            await store.create(job)
        canceled = moves.cancel(job, now_ms(), by="me")
        await store.commit(job, canceled)
        with pytest.raises(Stale):
            await store.commit(job, replace(canceled, job=replace(canceled.job, metadata={"other": "write"})))
        await store.erase(canceled.job)
        found = await heard(news, 3)

    assert found == [f"{job.id} {stands} acme {SUBJECT}" for stands in ("1/queued", "2/canceled", "0/erased")]
