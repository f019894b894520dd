"""Redis' own failures leave the boundary as ours."""

import pytest

from jobs.errors import ServiceUnavailable
from jobs.redis.connection import translate_redis_errors

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("command", [("SET", "k", "v"), ("EVAL", "return redis.call('SET', 'k', 'v')", "0")])
async def test_a_memory_that_ran_out_is_told_also_of_a_command_inside_a_script(redis, command):
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(ServiceUnavailable) as refused, translate_redis_errors():
            await redis.execute_command(*command)
    finally:
        await redis.config_set("maxmemory", 0)

    assert refused.value.details["reason"] == "store_full"
