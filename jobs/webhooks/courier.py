"""Posts what is due in the outbox, several at a time, and never more to one receiver than it has room for."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Self

import msgspec
import structlog
from msgspec.structs import replace

from jobs.errors import DarkroomError, ServiceUnavailable
from jobs.history.generation import Generation
from jobs.model.times import now_ms
from jobs.outage import MAX_PAUSE_SECONDS
from jobs.outside.client import POST_SECONDS
from jobs.redis.connection import outage
from jobs.redis.pubsub import subscribe
from jobs.shutdown import cancel
from jobs.webhooks.delivery import HISTORY, Delivery, DeliveryAttempt, DeliveryState, after_attempt, dead, delivered
from jobs.webhooks.endpoint import Endpoint

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.history.history import History
    from jobs.webhooks.endpoints import Endpoints
    from jobs.webhooks.outbox import Outbox
    from jobs.webhooks.poster import Poster

MAX_CONCURRENT_POSTS: Final = 32
"""Posts that one process has under way."""
MAX_CONCURRENT_POSTS_A_QUEUE: Final = 4
"""Posts to one receiver under way over all processes."""
LEASE_SECONDS: Final = POST_SECONDS + 15
"""After this a delivery whose courier died is posted by another, with the same `webhook-id`."""
SLOW_LOOK_SECONDS: Final = 15.0
CREATED: Final = 201
"""As whom an attempt counts that history took."""

_generation = msgspec.json.Decoder(Generation)

_log = structlog.get_logger()


class Courier:
    """One a worker process; `async with` runs it. A post under way at the end is made again by another."""

    def __init__(  # noqa: PLR0913  # the composition root hands over each part by name
        self,
        *,
        outbox: Outbox,
        redis: Redis,
        endpoints: Endpoints,
        poster: Poster,
        history: History,
        schedule: tuple[int, ...],
    ) -> None:
        self._outbox = outbox
        self._redis = redis
        self._endpoints = endpoints
        self._poster = poster
        self._history = history
        self._schedule = schedule
        self._wake = asyncio.Event()
        self._posts: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        channel = self._outbox.keys.posts
        self._tasks = [
            asyncio.create_task(subscribe(self._redis, channel, lambda _: self._wake.set())),
            asyncio.create_task(self._run()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel(*self._tasks, *self._posts)

    async def finish(self) -> None:
        """Begin nothing more, and see the end of the posts under way."""
        await cancel(*self._tasks)
        if self._posts:
            await asyncio.wait(self._posts)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                pause = await self._post_due()
            except ServiceUnavailable:
                pause = outage.pause()
            except Exception as error:  # noqa: BLE001  # what fails now may succeed later
                _log.error("outbox not read", exc_info=error)
                pause = MAX_PAUSE_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _post_due(self) -> float:
        """Begin what is due; the seconds until something else is."""
        free = MAX_CONCURRENT_POSTS - len(self._posts)
        if not free:
            return SLOW_LOOK_SECONDS  # the next post that ends wakes us
        due = await self._outbox.due(free, round(LEASE_SECONDS * 1000), MAX_CONCURRENT_POSTS_A_QUEUE)
        for delivery in due.deliveries:
            self._begin(delivery)
        return SLOW_LOOK_SECONDS if due.next_in_ms is None else min(SLOW_LOOK_SECONDS, due.next_in_ms / 1000)

    def _begin(self, delivery: Delivery) -> None:
        post = asyncio.create_task(self._deliver(delivery))
        self._posts.add(post)
        post.add_done_callback(self._ended)

    def _ended(self, post: asyncio.Task[None]) -> None:
        self._posts.discard(post)
        self._wake.set()
        if not post.cancelled() and (error := post.exception()) is not None:
            _log.error("delivery failed", exc_info=error)

    async def _deliver(self, delivery: Delivery) -> None:
        endpoint: Endpoint | None = None
        if delivery.type == HISTORY:
            await self._write(delivery)
            return
        if delivery.endpoint_id is not None:
            endpoint = await self._endpoints.find(delivery.endpoint_id)
            if endpoint is None or endpoint.disabled is not None:
                reason = "endpoint deleted" if endpoint is None else f"endpoint disabled: {endpoint.disabled}"
                await self._outbox.settle(delivery, dead(delivery, reason), 0)
                return
            delivery = replace(delivery, url=endpoint.url)
        await self._post(delivery, endpoint)

    async def _post(self, delivery: Delivery, endpoint: Endpoint | None) -> None:
        secrets = filter(None, [delivery.secret]) if endpoint is None else endpoint.signing(now_ms())
        attempt, retry_after = await self._poster.post(delivery, tuple(secrets))
        after = await self._settled(delivery, attempt, retry_after)
        facts = {"delivery": after.id, "job": after.job_id, "status": attempt.status, "error": attempt.error}
        if after.state is DeliveryState.DEAD:
            _log.warning("webhook given up", attempts=len(after.attempts), **facts)
        else:
            _log.info("webhook posted", state=after.state, **facts)
        if endpoint is not None:
            await _until_kept(lambda: self._endpoints.record_attempt(endpoint, attempt))
        if endpoint is not None and after.state is DeliveryState.PENDING:
            await _until_kept(lambda: self._endpoints.make_due_if_ended(endpoint.id))

    async def _write(self, delivery: Delivery) -> None:
        """Into history, which is told what it was told before: a second time changes nothing."""
        at, error = now_ms(), None
        try:
            async with asyncio.timeout(POST_SECONDS):
                await self._history.add(_generation.decode(delivery.body))
        except (ServiceUnavailable, TimeoutError):
            error = "history cannot be reached"
        status = None if error else CREATED
        after = await self._settled(
            delivery, DeliveryAttempt(at_ms=at, took_ms=now_ms() - at, status=status, error=error), None
        )
        if after.state is DeliveryState.DEAD:
            _log.error("generation not in history", job=after.job_id, attempts=len(after.attempts))

    async def _settled(self, delivery: Delivery, attempt: DeliveryAttempt, retry_after: float | None) -> Delivery:
        """The delivery after an attempt, as it is kept."""
        spread = random.uniform(0.9, 1.1)  # noqa: S311  # keeps receivers from being met by all at once
        after = after_attempt(delivery, attempt, self._schedule, spread=spread, retry_after=retry_after)
        pause_ms = max(0, (after.next_ms or 0) - now_ms())
        await _until_kept(lambda: self._outbox.settle(delivery, after, pause_ms, good=delivered(attempt)))
        return after


async def _until_kept(settle: Callable[[], Awaitable[object]]) -> None:
    """Write, however long Redis is away, within the lease: beyond it another courier has posted again anyway."""
    end_at = time.monotonic() + LEASE_SECONDS
    while True:
        try:
            await settle()
        except DarkroomError:
            if time.monotonic() > end_at:
                raise
            await asyncio.sleep(outage.pause())
        else:
            return
