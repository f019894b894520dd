"""Blobs whose time has come, on a real Redis: each by itself, and by one sweeper of all."""

import asyncio
import contextlib
import time
from collections import Counter

import pytest

from jobs.blobs.expiry import BlobExpiry
from jobs.blobs.store import BlobStoreDown
from jobs.model.times import now_ms
from jobs.redis.keys import Keys

pytestmark = pytest.mark.anyio
KEY = Keys("{test}:").expiring_blobs


class Blobs:
    """A store that takes its time to delete, and of some blobs says that it cannot."""

    def __init__(self, stubborn=(), seconds=0.02):
        self.deletes = Counter()
        self.stubborn = stubborn
        self.seconds = seconds

    async def delete(self, name):
        self.deletes[name] += 1
        await asyncio.sleep(self.seconds)
        if name in self.stubborn:
            raise BlobStoreDown("no")
        return True


@contextlib.asynccontextmanager
async def sweeping(*expiries):
    tasks = [asyncio.create_task(expiry.sweep()) for expiry in expiries]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until_left(redis, count):
    async with asyncio.timeout(20):
        while await redis.zcard(KEY) > count:  # noqa: ASYNC110  # it is Redis that is looked at
            await asyncio.sleep(0.01)


async def test_two_sweepers_delete_hundreds_a_second_and_none_twice(redis):
    blobs = Blobs()
    sweepers = [BlobExpiry(redis, "{test}:", blobs) for _ in range(2)]
    await sweepers[0].add(now_ms(), *(f"old/{number}" for number in range(1_000)))

    begun = time.monotonic()
    async with sweeping(*sweepers):
        await until_left(redis, 0)

    assert set(blobs.deletes.values()) == {1}
    assert 1_000 / (time.monotonic() - begun) > 200


async def test_what_cannot_be_deleted_is_left_for_later_and_holds_up_nothing(redis):
    blobs = Blobs(stubborn={f"stubborn/{number}" for number in range(100)})
    expiry = BlobExpiry(redis, "{test}:", blobs)
    await expiry.add(1, *blobs.stubborn)
    await expiry.add(2, *(f"old/{number}" for number in range(100)))

    async with sweeping(expiry):
        await until_left(redis, 100)

    left = {name.decode(): at for name, at in await redis.zrange(KEY, 0, -1, withscores=True)}
    assert set(left) == blobs.stubborn
    assert min(left.values()) > now_ms()


async def test_what_is_discarded_is_queued_before_it_is_tried(redis):
    blobs = Blobs()
    expiry = BlobExpiry(redis, "{test}:", blobs)
    blobs.stubborn = {"b"}

    await expiry.discard("a", "b")

    assert blobs.deletes == {"a": 1, "b": 1}
    assert await redis.zrange(KEY, 0, -1) == [b"b"]
