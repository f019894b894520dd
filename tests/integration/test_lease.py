"""A job in a worker's hands while the answers of the store get lost."""

from functools import partial

import pytest

from jobs.errors import ServiceUnavailable
from jobs.model import moves
from jobs.store.jobs import RedisJobStore
from jobs.worker.lease import LeasedJob
from tests.jobs import claims_of, new_job

pytestmark = pytest.mark.anyio


class Deaf(RedisJobStore):
    """Each write reaches Redis, and of each the first answer is lost."""

    lost: object = None

    async def commit(self, before, changed, fence=None, call=None):
        answer = await super().commit(before, changed, fence, call)
        if self.lost is not changed:
            self.lost = changed
            raise ServiceUnavailable("the job store cannot be reached just now", reason="store_unavailable")
        return answer


async def test_a_move_whose_answer_was_lost_is_made_once(redis):
    store = Deaf(redis, "{test}:", "http://localhost")
    job = new_job()
    await store.create(job)
    held = LeasedJob(store, await claims_of(store).claim_next("turn", "worker", 60_000))

    await held.apply(moves.start)
    await held.apply(partial(moves.intend, indexes=(0,)))

    kept = await store.get(job.id)
    assert kept == held.now
    assert [row.call for row in kept.attempts] == [1]
    assert kept.version == job.version + 2
