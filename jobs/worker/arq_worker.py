"""arq's worker, which waits for a turn where arq would poll, and takes it out of the queue as it begins."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import arq.worker
import structlog

from jobs.errors import ServiceUnavailable
from jobs.outage import MAX_PAUSE_SECONDS
from jobs.redis.connection import outage, translate_redis_errors
from jobs.redis.keys import Keys
from jobs.shutdown import cancel

WAIT_SECONDS: Final = 2.0
"""How long one command waits for a turn: shorter than any silence of Redis that counts as its absence."""

_log = structlog.get_logger()


class TurnWorker(arq.worker.Worker):
    """arq's worker, for turns alone. Redis gives each to one worker, so that none looks at those that run.

    A turn that is lost between the queue and its first claim is asked for again (`Claims.missing_turns`).
    """

    def __init__(self, *args: Any, keys: Keys, **kwargs: Any) -> None:
        super().__init__(*args, poll_delay=0, queue_name=keys.arq_turns, **kwargs)
        self._keys = keys
        self._ended = asyncio.Event()

    async def main(self) -> None:
        """Look for turns until cancelled. arq's own asks Redis for its version first, and ends where it cannot."""
        while True:
            await self._poll_iteration()

    async def _poll_iteration(self) -> None:
        try:
            with translate_redis_errors():
                if self.allow_pick_jobs and self.job_counter < self.max_jobs:
                    await self._take_turn()
                else:
                    await self._wait_for_room()
                await self.heart_beat()
        except ServiceUnavailable:  # arq would end here, and every job in its hands with it
            await asyncio.sleep(outage.pause())
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

    async def _take_turn(self) -> None:
        taken = await self.pool.bzpopmin(self.queue_name, timeout=WAIT_SECONDS)
        if taken is None:
            return
        _, turn, score = taken
        if not self.allow_pick_jobs:  # told to stop meanwhile: it is another worker's
            await self.pool.zadd(self.queue_name, {turn: score})
            return
        await self.sem.acquire()
        self.job_counter += 1
        task = self.loop.create_task(self.run_job(turn.decode(), int(score)))
        self.tasks[turn.decode()] = task
        task.add_done_callback(lambda task: self._end_turn(turn.decode(), task))

    async def _wait_for_room(self) -> None:
        self._ended.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                await self._ended.wait()

    def _end_turn(self, turn: str, task: asyncio.Task[None]) -> None:
        self._release_sem_dec_counter_on_complete()
        self._ended.set()
        if self.tasks.get(turn) is task:
            del self.tasks[turn]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("turn ended", error=str(error))

    async def finish_job(self, job_id: str, *_: Any) -> None:
        """See arq; a turn has no result, and has left the queue when it began."""
        await self._forget(job_id)

    async def finish_failed_job(self, job_id: str, _: bytes | None) -> None:
        """See arq."""
        await self._forget(job_id)

    async def _forget(self, job_id: str) -> None:
        await self.pool.delete(self._keys.arq_turn(job_id), self._keys.arq_tries(job_id))
