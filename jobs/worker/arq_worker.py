"""arq's worker, woken by a message where arq would sleep."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import arq.worker
import structlog
from redis.exceptions import RedisError

from jobs.redis.connection import outage
from jobs.redis.pubsub import subscribe
from jobs.shutdown import cancel

SLOW_LOOK_SECONDS: Final = 2.0
"""A worker looks this often by itself; news that was lost costs no more."""
MAX_PAUSE_SECONDS: Final = 2.0
"""Between two looks at a Redis that is away."""

_log = structlog.get_logger()


class WakeWorker(arq.worker.Worker):
    """arq's worker, woken by a message where arq would sleep its poll delay."""

    def __init__(self, *args: Any, wake_channel: str, **kwargs: Any) -> None:
        super().__init__(*args, poll_delay=0, **kwargs)
        self._channel = wake_channel
        self._woken = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None

    async def main(self) -> None:
        """Look for turns until cancelled. arq's own asks Redis for its version first, and ends where it cannot."""
        self._listener = self.loop.create_task(subscribe(self.pool, self._channel, self._hear))
        while True:
            await self._poll_iteration()

    async def _poll_iteration(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SLOW_LOOK_SECONDS):
                await self._woken.wait()
        self._woken.clear()
        try:
            await super()._poll_iteration()
        except (RedisError, OSError) as error:  # arq would end here, and every job in its hands with it
            outage.failed(error)
            await asyncio.sleep(outage.pause(MAX_PAUSE_SECONDS))
        except Exception as error:  # noqa: BLE001  # as it would here
            _log.error("turns not looked for", exc_info=error)
            await asyncio.sleep(MAX_PAUSE_SECONDS)

    async def finish(self) -> None:
        """Begin nothing more, and see the end of what runs."""
        self.allow_pick_jobs = False
        while running := [task for task in self.tasks.values() if not task.done()]:
            await asyncio.wait(running)

    async def stop(self) -> None:
        """End what still runs."""
        await cancel(*self.job_tasks.values())
        await cancel(*self.tasks.values())
        self.tasks.clear()  # arq looks at them once more as it closes, and stumbles over those that were canceled

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """See arq; a job that it counted and could not start is not counted for ever."""
        try:
            await super().start_jobs(job_ids)
        except (RedisError, OSError):
            await asyncio.sleep(0)  # tasks that have ended are uncounted by their callbacks
            while self.job_counter > sum(not task.done() for task in self.tasks.values()):
                self.job_counter -= 1
                self.sem.release()
            raise

    def _release_sem_dec_counter_on_complete(self) -> None:
        super()._release_sem_dec_counter_on_complete()
        self._woken.set()

    def _hear(self, _: bytes | None) -> None:
        self._woken.set()

    async def close(self) -> None:
        """Stop listening, then close as arq does."""
        await cancel(self._listener)
        await super().close()
