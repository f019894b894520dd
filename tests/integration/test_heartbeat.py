"""What a heartbeat asks of Redis; on a real one."""

import pytest

from jobs.ids import new_id
from tests.jobs import claims_of, new_job

pytestmark = pytest.mark.anyio


async def test_a_heartbeat_asks_the_same_of_redis_whatever_jobs_are_in_hand(store, redis):
    costs, held = [], []
    await claims_of(store).renew("worker", 15_000, 1, held)  # Redis has the script from here on
    for jobs in (1, 100):
        while len(held) < jobs:
            await store.create(new_job())
            held.append(await claims_of(store).claim_next(new_id("turn"), "worker", 15_000))
        await redis.config_resetstat()
        assert not (await claims_of(store).renew("worker", 15_000, 100, held)).lost
        stats = await redis.info("commandstats")
        costs.append(sum(each["calls"] for name, each in stats.items() if name != "cmdstat_config|resetstat"))

    assert costs[0] == costs[1]
