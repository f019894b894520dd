"""One subscription a process wakes every waiter; each also looks by itself at a slow pace."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Final

from redis.asyncio import Redis

from jobs.errors import ServiceUnavailable
from jobs.model.job import LIVE, Job
from jobs.outage import MIN_PAUSE_SECONDS
from jobs.redis.connection import outage
from jobs.redis.keys import Keys
from jobs.redis.pubsub import subscribe
from jobs.shutdown import cancel

SLOW_LOOK_SECONDS: Final = 5.0
"""News is a hint, the look is the truth: lost news costs no more than this."""

Look = Callable[[], Awaitable[Job | None]]
"""Reads the job as it stands."""
OnChange = Callable[[str | None, str], None]
"""Is told of a change by the job's id and its owner, `org subject`; without an id: changes may have gone unheard."""


class Notifier:
    """Waits for changes of jobs. Two thousand waiters cost one subscription."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._channel = Keys(prefix).changes
        self._waiters: dict[str, set[_Waiter]] = {}
        self._subscribers: list[OnChange] = []
        self._listener: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def open(self) -> None:
        """Begin to listen."""
        self._listener = asyncio.create_task(subscribe(self._redis, self._channel, self._hear))

    async def close(self) -> None:
        """End every wait at once, then stop listening."""
        self.end_waits()
        await cancel(self._listener)

    def end_waits(self) -> None:
        """This process is about to stop: whoever waits is answered now with what there is."""
        self._closing.set()
        self._wake_all()

    @property
    def closing(self) -> bool:
        """Whether this process is about to stop."""
        return self._closing.is_set()

    async def closes_within(self, seconds: float) -> bool:
        """Whether this process is about to stop, known at the latest after so many seconds."""
        await self._sleep(self._closing, seconds)
        return self.closing

    def subscribe(self, on_change: OnChange) -> None:
        """Have every change of every job told; `on_change` is to be quick, and looks by itself."""
        self._subscribers.append(on_change)

    @property
    def count(self) -> int:
        """How many wait just now."""
        return sum(len(waiters) for waiters in self._waiters.values())

    async def until(
        self, job_id: str, look: Look, done: Callable[[Job], bool], seconds: float, *, only_end: bool = False
    ) -> Job | None:
        """The job once `done`, or as it stands when `seconds` are over or the process stops.

        Registers before the first look, so that no change falls between the two. `only_end`: what is no end of the job
        is not looked at.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        waiter = _Waiter(only_end=only_end)
        self._waiters.setdefault(job_id, set()).add(waiter)
        try:
            while True:
                left = deadline - asyncio.get_running_loop().time()
                try:
                    job = await look()
                except ServiceUnavailable:  # the wait outlives a Redis that is away for a while
                    if left <= MIN_PAUSE_SECONDS or self._closing.is_set():
                        raise
                    await self._sleep(self._closing, min(left, outage.pause()))
                    continue
                if job is None or done(job) or left <= 0 or self._closing.is_set():
                    return job
                await self._sleep(waiter.woken, min(left, SLOW_LOOK_SECONDS * random.uniform(0.8, 1.2)))  # noqa: S311  # spreads the looks
                waiter.woken.clear()
        finally:
            self._forget(job_id, waiter)

    @staticmethod
    async def _sleep(event: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    def _forget(self, job_id: str, waiter: _Waiter) -> None:
        waiters = self._waiters[job_id]
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[job_id]

    def _hear(self, news: bytes | None) -> None:
        if news is None:
            self._wake_all()
            self._tell(None, "")
            return
        job_id, stands, owner = news.decode().split(" ", 2)
        goes_on = stands.partition("/")[2] in LIVE
        for waiter in self._waiters.get(job_id, ()):
            if not (waiter.only_end and goes_on):
                waiter.woken.set()
        self._tell(job_id, owner)

    def _tell(self, job_id: str | None, owner: str) -> None:
        for on_change in self._subscribers:
            on_change(job_id, owner)

    def _wake_all(self) -> None:
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.woken.set()


class _Waiter:
    """Somebody who waits for news of a job, or for its end alone."""

    def __init__(self, *, only_end: bool) -> None:
        self.only_end = only_end
        self.woken = asyncio.Event()
