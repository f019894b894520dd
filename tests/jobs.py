"""A job as the tests make them."""

from __future__ import annotations

from jobs.ids import new_id
from jobs.model.job import Job, Options
from jobs.model.request import ImageRequest
from jobs.model.times import now_ms
from jobs.store.claims import Claims
from jobs.store.jobs import RedisJobStore


def new_job(provider: str = "gemini", n: int = 1, model: str = "m", **columns: object) -> Job:
    """One that was asked for just now, and ends in a minute; `columns` as in `Job`."""
    now = now_ms()
    return Job(
        **{
            "id": new_id("job"),
            "org": "acme",
            "subject": "tester",
            "face": "jobs",
            "request": ImageRequest(provider=provider, model=model, prompt="p", n=n),
            "options": Options(),
            "created_ms": now,
            "updated_ms": now,
            "cancel_at_ms": now + 60_000,
            **columns,
        }
    )


def claims_of(store: RedisJobStore) -> Claims:
    """What workers ask of the same Redis."""
    return Claims(store.redis, store.prefix)


async def lose_worker(store: RedisJobStore, worker: str) -> list[str]:
    """As when a worker gave no sign of life for a lease, and another looked: jobs past their deadline."""
    await store.redis.zadd(store.keys.workers, {worker: 0})
    return await claims_of(store).reap(0)
