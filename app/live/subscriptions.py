"""Who hears of which jobs: each listener of the jobs of its own, and of those that it has subscribed to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import structlog

from app.live.progress import RETRY_SECONDS, Message, ended, follow, message_now, without_preview
from jobs.errors import DarkroomError, InvalidInput, ServiceUnavailable
from jobs.model.filters import Filters
from jobs.model.job import Status
from jobs.model.times import now_ms
from jobs.shutdown import cancel

if TYPE_CHECKING:
    from app.services import Services
    from jobs.model.job import Job

MAX_SUBSCRIPTIONS: Final = 100
"""Jobs that a listener may have subscribed to at a time."""
MAX_ENDS: Final = 256
"""Ended jobs that a listener is known to have been told of."""
MAX_REQUESTS: Final = 1_000
"""Requests whose jobs this process remembers having heard of."""
DEAF_MS: Final = 60_000
"""A job that ended within this before a lost subscription was taken up again may have ended unheard."""

_log = structlog.get_logger()


class Listener:
    """Somebody who hears of jobs, known by `name`; `owner` is `org subject`, as the news have it."""

    def __init__(self, name: str, org: str, subject: str) -> None:
        self.name = name
        self.org = org
        self.owner = f"{org} {subject}"
        self.subscribed: set[str] = set()
        self._ends: dict[str, None] = {}

    def has_end(self, job_id: str) -> bool:
        """Whether it was told how the job ended: that is told once."""
        return job_id in self._ends

    def note_end(self, job_id: str) -> None:
        """It is told now how the job ended."""
        self.subscribed.discard(job_id)
        self._ends[job_id] = None
        if len(self._ends) > MAX_ENDS:
            del self._ends[next(iter(self._ends))]


Tell = Callable[[Sequence[Listener], Message], Awaitable[None]]


class Follower:
    """A job that is followed, once for all who hear of it."""

    def __init__(self, job_id: str, owner: str) -> None:
        self.job_id = job_id
        self.owner = owner
        self.stirred = True
        """There was news since the last look."""
        self.told: Message | None = None
        """How the job was told to stand, without previews."""
        self.task: asyncio.Task[None] | None = None


class Subscriptions:
    """Follows the jobs that somebody here hears of, and no others. News of those cost a look into a dictionary."""

    def __init__(self, services: Services, tell: Tell) -> None:
        self._services = services
        self._jobs = services.jobs
        self._tell = tell
        self._of_owner: dict[str, set[Listener]] = {}
        self._of_job: dict[str, set[Listener]] = {}
        self._followers: dict[str, Follower] = {}
        self._requests: dict[tuple[str, str], str] = {}
        self._catching_up: asyncio.Task[None] | None = None

    def join(self, listener: Listener) -> None:
        """It hears of every job of its owner from the next change on."""
        self._of_owner.setdefault(listener.owner, set()).add(listener)

    def followed(self, listener: Listener) -> list[Message]:
        """How those jobs of its owner stand that are followed just now: somebody else hears of them, too."""
        own = (follower.told for follower in self._followers.values() if follower.owner == listener.owner)
        return [message for message in own if message is not None]

    def leave(self, listener: Listener) -> None:
        """It hears of nothing more; what nobody hears of is soon followed no longer."""
        _drop(self._of_owner, listener.owner, listener)
        for job_id in listener.subscribed:
            _drop(self._of_job, job_id, listener)

    async def subscribe(self, listener: Listener, job_id: str) -> Message:
        """It hears of a job of its org, too, and has this message now. Raises `NotFound`, `Gone`, `InvalidInput`."""
        job = await self._jobs.get(listener.org, job_id)
        if (end := ended(job)) is not None:
            await self._end(job.id, [listener], end)
            await self._jobs.result_taken(job)
            return end
        if len(listener.subscribed) >= MAX_SUBSCRIPTIONS and job.id not in listener.subscribed:
            raise InvalidInput(f"{MAX_SUBSCRIPTIONS} jobs are subscribed to: unsubscribe from one", field="job_id")
        if listener in self._of_owner.get(listener.owner, ()):  # it may have left since it asked
            listener.subscribed.add(job.id)
            self._of_job.setdefault(job.id, set()).add(listener)
            self._ensure_follower(job.id, f"{job.org} {job.subject}")
        return await message_now(self._services, job)

    def unsubscribe(self, listener: Listener, job_id: str) -> None:
        """It hears of the job no longer, unless it is of its own."""
        listener.subscribed.discard(job_id)
        _drop(self._of_job, job_id, listener)

    def job_of_request(self, org: str, request_id: str) -> str | None:
        """The job of a request that this process has heard of lately."""
        return self._requests.get((org, request_id))

    def on_change(self, job_id: str | None, owner: str) -> None:
        """News of a job (`Notifier.subscribe`)."""
        if job_id is None:
            if self._of_owner and self._catching_up is None:
                self._catching_up = asyncio.create_task(self._catch_up())
        elif job_id in self._followers or owner in self._of_owner:
            self._ensure_follower(job_id, owner)

    async def close(self) -> None:
        """Follow nothing more."""
        await cancel(self._catching_up, *(follower.task for follower in self._followers.values()))

    def _ensure_follower(self, job_id: str, owner: str) -> None:
        follower = self._followers.get(job_id)
        if follower is not None:
            follower.stirred = True
            return
        self._followers[job_id] = follower = Follower(job_id, owner)
        follower.task = asyncio.create_task(self._run(follower))

    async def _run(self, follower: Follower) -> None:
        """Nothing is awaited between the last look whether there was news and the end of the watch."""
        try:
            while follower.stirred:
                follower.stirred = False
                try:
                    await self._follow(follower)
                except ServiceUnavailable:
                    follower.stirred = not self._jobs.closing
                    await asyncio.sleep(RETRY_SECONDS)
                except DarkroomError:  # the news were of its being erased
                    return
        except Exception:  # noqa: BLE001  # nobody awaits the task: it is told here
            _log.exception("watch failed", job=follower.job_id)
        finally:
            del self._followers[follower.job_id]

    async def _follow(self, follower: Follower) -> None:
        job = await self._jobs.get(follower.owner.partition(" ")[0], follower.job_id)
        self._remember(job)
        async with aclosing(follow(self._services, job)) as messages:
            async for message in messages:
                hearers = self._hearers(follower)
                if not hearers:
                    return
                if message is None:
                    continue
                if message.last:
                    asked = follower.job_id in self._of_job
                    await self._end(follower.job_id, hearers, message)
                    if asked:
                        await self._jobs.result_taken(await self._jobs.get(job.org, job.id))
                    return
                follower.told = without_preview(message)
                await self._tell(hearers, message)
                if self._rests(follower, job, message):
                    return

    def _hearers(self, follower: Follower) -> list[Listener]:
        both = self._of_owner.get(follower.owner, set()) | self._of_job.get(follower.job_id, set())
        return [listener for listener in both if not listener.has_end(follower.job_id)]

    def _rests(self, follower: Follower, job: Job, message: Message) -> bool:
        """Whether the next look can wait for news: a thousand jobs that wait for their turn cost nothing."""
        queued = job.started_ms is None and message.data["status"] == Status.QUEUED
        return queued and follower.job_id not in self._of_job

    async def _end(self, job_id: str, hearers: Sequence[Listener], message: Message) -> None:
        """Tell how the job ended, each listener once."""
        told = [listener for listener in hearers if not listener.has_end(job_id)]
        for listener in told:
            _drop(self._of_job, job_id, listener)
            listener.note_end(job_id)
        await self._tell(told, message)

    def _remember(self, job: Job) -> None:
        if job.request_id is not None:
            self._requests[job.org, job.request_id] = job.id
            if len(self._requests) > MAX_REQUESTS:
                del self._requests[next(iter(self._requests))]

    async def _catch_up(self) -> None:
        """Look for what changed unheard among the newest hundred jobs of each org that somebody listens for."""
        try:
            since = now_ms() - DEAF_MS
            for org in {owner.partition(" ")[0] for owner in self._of_owner}:
                for job in (await self._jobs.page(org, Filters(), None, 100))[0]:
                    if not job.status.terminal or (job.finished_ms or 0) > since:
                        self.on_change(job.id, f"{job.org} {job.subject}")
        except DarkroomError as error:
            _log.warning("news may have been missed", error=error.message)
        finally:
            self._catching_up = None


def _drop(kept: dict[str, set[Listener]], key: str, listener: Listener) -> None:
    listeners = kept.get(key, set())
    listeners.discard(listener)
    if not listeners:
        kept.pop(key, None)
