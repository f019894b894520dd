"""Reading jobs: get, wait for, list and follow them. What the faces see of a job that is there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jobs.errors import Gone, NotFound, ServiceUnavailable
from jobs.model import moves
from jobs.model.filters import ANY
from jobs.model.job import Job
from jobs.model.times import now_ms
from jobs.store.durations import ADOPT_MS
from jobs.store.outcomes import Stale

if TYPE_CHECKING:
    from jobs.client.notifier import Notifier
    from jobs.model.filters import Filters
    from jobs.store.jobs import RedisJobStore
    from jobs.webhooks.delivery import Delivery
    from jobs.webhooks.outbox import Outbox

MAX_READ_RECORDS: Final = 1_000
"""Records that one list request may look at."""
MAX_CHUNK: Final = 100
"""Records that are looked at together where not all of them may be shown."""


class Jobs:
    """The jobs of every org. Raises only `errors.DarkroomError`."""

    def __init__(self, *, store: RedisJobStore, notifier: Notifier, outbox: Outbox) -> None:
        self._store = store
        self._notifier = notifier
        self._outbox = outbox

    async def get(self, org: str, job_id: str) -> Job:
        """The job as it stands; past its deadline, the move is made now. Raises `NotFound`, `Gone`."""
        job = await self._look(job_id)
        if job is not None and job.org == org:
            return job
        if await self._store.erased(org, job_id):  # asked of another org's job, too: it takes no less than none
            raise Gone("the job was erased, or is past its retention", jobId=job_id)
        raise NotFound("no such job", jobId=job_id[:64])

    async def many(self, org: str, job_ids: Sequence[str]) -> list[Job | bool]:
        """Each job as it stands, in one round trip; for one that is not there: whether the org ever had it."""
        now = now_ms()
        found = await self._store.many(org, job_ids)
        return [(await self._look(j.id) or True) if isinstance(j, Job) and j.overdue(now) else j for j in found]

    async def page(self, org: str, filters: Filters, after: str | None, limit: int) -> tuple[list[Job], str | None]:
        """At most `limit` jobs, newest first, and the cursor for more. Reads at most `MAX_READ_RECORDS` records."""
        found: list[Job] = []
        read, chunk = 0, limit if filters == ANY else MAX_CHUNK
        while read < MAX_READ_RECORDS:
            page = await self._store.page(org, after, chunk)
            for job in page.jobs:
                if filters.match(job):
                    found.append(job)
                    if len(found) == limit:
                        return found, job.id
            read += chunk
            after = page.cursor
            if after is None:
                break
        return found, after

    async def wait(self, org: str, job_id: str, seconds: float, *, beyond: int | None = None) -> Job:
        """The job once it has ended (or, with `beyond`, has a version above it), or as it stands after `seconds`."""

        def done(job: Job) -> bool:
            return job.org != org or job.status.terminal or (beyond is not None and job.version > beyond)

        look = partial(self._look, job_id)
        found = await self._notifier.until(job_id, look, done, seconds, only_end=beyond is None)
        return found if found is not None and found.org == org else await self.get(org, job_id)

    async def until(self, job: Job, done: Callable[[Job], bool], seconds: float) -> Job:
        """The job once `done`, or as it stands after `seconds`. Raises `NotFound`, `Gone` once it is erased."""
        found = await self._notifier.until(job.id, lambda: self._look(job.id), done, seconds)
        return await self.get(job.org, job.id) if found is None else found

    async def follow(self, job: Job, after: int, silence: float) -> AsyncIterator[dict[str, Any] | None]:
        """Each event after the version `after` as it comes, until the job has ended; None after `silence` seconds.

        Ends early when this process stops: whoever follows comes back with the last version that was seen.
        """
        while True:
            for event in await self.events(job, after):
                after = event["sequence"]
                yield event
            if job.status.terminal or self._notifier.closing:
                return
            newer = await self._newer(job, silence)
            if newer is None:
                return
            if newer.version == job.version:
                yield None
            job = newer

    async def events(self, job: Job, after: int = 0) -> list[dict[str, Any]]:
        """What the outside heard of the job after the version `after`, in order."""
        return await self._store.events(job, after)

    async def deliveries(self, job: Job) -> tuple[Delivery, ...]:
        """How the news of the job fared, its own webhook's and those of the org's endpoints, oldest first."""
        return await self._outbox.of_job(job.org, job.id)

    async def result_taken(self, job: Job) -> None:
        """The job's result is being handed to somebody who asked for it."""
        if job.adoptable and job.images and now_ms() - job.created_ms < ADOPT_MS:
            with contextlib.suppress(ServiceUnavailable):
                await self._store.delivered(job)

    async def caller_left(self, job: Job) -> None:
        """Whoever waited for the job has gone without its result; the job goes on."""
        if job.adoptable:
            with contextlib.suppress(ServiceUnavailable):
                await self._store.left(job)

    @property
    def closing(self) -> bool:
        """Whether this process is about to stop: who follows a job comes back to another one."""
        return self._notifier.closing

    async def _newer(self, job: Job, seconds: float) -> Job | None:
        def changed(now: Job) -> bool:
            return now.version > job.version

        return await self._notifier.until(job.id, lambda: self._look(job.id), changed, seconds)

    async def _look(self, job_id: str) -> Job | None:
        """The record; where its deadline has passed, the move is made first."""
        while True:
            job = await self._store.get(job_id)
            now = now_ms()
            if job is None or not job.overdue(now):
                return job
            try:
                return await self._store.commit(job, moves.overdue(job, now))
            except Stale:
                continue
