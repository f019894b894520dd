"""What the tests of one neighbour share: a client of the real Redis, empty, and a store of jobs on it."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from jobs.store.jobs import RedisJobStore


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def store(redis: Redis) -> RedisJobStore:
    return RedisJobStore(redis, "{test}:", "http://here")
