"""Posts what is due in the outbox, several at a time, and never more to one address than it has room for."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Self

import structlog

from jobs.errors import DarkroomError
from jobs.model import now_ms
from jobs.news import end, listen
from jobs.outbox import address
from jobs.outside import POST_SECONDS, Answer, Outside, OutsideError
from jobs.retry_after import retry_after
from jobs.sealing import SealBroken
from jobs.webhook import MOST_NOTED, Delivery, DeliveryAttempt, tried

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.outbox import Outbox
    from jobs.sealing import Sealer
    from jobs.webhook import Signer

AT_ONCE: Final = 32
"""Posts that one process has under way."""
AT_ONCE_AN_ADDRESS: Final = 4
LEASE_SECONDS: Final = POST_SECONDS + 15
"""After this a delivery whose courier died is posted by another, with the same `webhook-id`."""
SLOW_LOOK_SECONDS: Final = 15.0
RETRY_SECONDS: Final = 0.5

_log = structlog.get_logger()


class Courier:
    """One a worker process; `async with` runs it. A post under way at the end is waited for."""

    def __init__(  # noqa: PLR0913  # the composition root hands over each part by name
        self,
        *,
        outbox: Outbox,
        redis: Redis,
        outside: Outside,
        signer: Signer,
        sealer: Sealer,
        schedule: tuple[int, ...],
    ) -> None:
        self._outbox = outbox
        self._redis = redis
        self._outside = outside
        self._signer = signer
        self._sealer = sealer
        self._schedule = schedule
        self._wake = asyncio.Event()
        self._under_way: Counter[str] = Counter()
        self._posts: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        channel = f"{self._outbox.prefix}outbox"
        self._tasks = [
            asyncio.create_task(listen(self._redis, channel, lambda _: self._wake.set())),
            asyncio.create_task(self._run()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            await end(task)
        if self._posts:
            await asyncio.wait(self._posts, timeout=LEASE_SECONDS)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                pause = await self._post_due()
            except DarkroomError as error:
                _log.warning("outbox not read", error=str(error))
                pause = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _post_due(self) -> float:
        """Begin what is due; the seconds until something else is."""
        free = AT_ONCE - len(self._posts)
        if not free:
            return SLOW_LOOK_SECONDS  # the next post that ends wakes us
        due = await self._outbox.due(free, round(LEASE_SECONDS * 1000), AT_ONCE_AN_ADDRESS, +self._under_way)
        for delivery in due.deliveries:
            self._begin(delivery)
        return SLOW_LOOK_SECONDS if due.next_in_ms is None else min(SLOW_LOOK_SECONDS, due.next_in_ms / 1000)

    def _begin(self, delivery: Delivery) -> None:
        to = address(delivery.url)
        self._under_way[to] += 1
        post = asyncio.create_task(self._deliver(delivery))
        self._posts.add(post)
        post.add_done_callback(lambda done: self._ended(done, to))

    def _ended(self, post: asyncio.Task[None], to: str) -> None:
        self._posts.discard(post)
        self._under_way[to] -= 1
        self._wake.set()
        if not post.cancelled() and (error := post.exception()) is not None:
            _log.error("delivery failed", exc_info=error)

    async def _deliver(self, delivery: Delivery) -> None:
        attempt, patience = await self._attempt(delivery)
        spread = random.uniform(0.9, 1.1)  # noqa: S311  # keeps receivers from being met by all at once
        after = tried(delivery, attempt, self._schedule, spread=spread, patience=patience)
        pause_ms = max(0, (after.next_ms or 0) - now_ms())
        await _until_kept(lambda: self._outbox.settle(delivery, after, pause_ms))
        facts = {"delivery": after.id, "job": after.job_id, "status": attempt.status, "error": attempt.error}
        if after.state == "dead":
            _log.warning("webhook given up", attempts=len(after.attempts), **facts)
        else:
            _log.info("webhook posted", state=after.state, **facts)

    async def _attempt(self, delivery: Delivery) -> tuple[DeliveryAttempt, float | None]:
        """One post, and how long the receiver wants to be left alone."""
        at, began = now_ms(), time.monotonic()
        answer: Answer | None = None
        error: str | None = None
        try:
            secret = None if delivery.secret is None else self._sealer.open(delivery.secret)
            signed = self._signer.headers(delivery, secret, at // 1000)
            headers = {"Content-Type": "application/json", **signed}
            answer = await self._outside.post(delivery.url, headers=headers, body=delivery.body.encode())
        except OutsideError as refused:
            error = refused.rule
        except SealBroken:
            error = "the secret was sealed with another DARKROOM_SECRET_KEY"
        attempt = DeliveryAttempt(
            at_ms=at,
            took_ms=round((time.monotonic() - began) * 1000),
            status=None if answer is None else answer.status,
            error=error,
            response=None if answer is None else answer.body[:MOST_NOTED].decode(errors="replace"),
        )
        return attempt, None if answer is None else retry_after(answer.headers)


async def _until_kept(settle: Callable[[], Awaitable[object]]) -> None:
    """Write, however long Redis is away, within the lease: beyond it another courier has posted again anyway."""
    end_at = time.monotonic() + LEASE_SECONDS
    while True:
        try:
            await settle()
        except DarkroomError:
            if time.monotonic() > end_at:
                raise
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return
