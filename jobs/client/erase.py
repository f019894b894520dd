"""Ending jobs: canceling them, and erasing what is left of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs.errors import Gone
from jobs.history.generation import made_by
from jobs.model import ledger, moves
from jobs.model.job import Job, Status
from jobs.model.times import now_ms
from jobs.pictures.names import names_of
from jobs.store.outcomes import Stale

if TYPE_CHECKING:
    from jobs.blobs.expiry import BlobExpiry
    from jobs.client.client import Jobs
    from jobs.client.files import Files
    from jobs.history.history import History
    from jobs.store.jobs import RedisJobStore

CANCEL_SECONDS: Final = 2.0
"""How long the worker that has a job may take to end it."""
LATE_MS: Final = 90_000_000
"""Beyond it no call is open, and nothing that it brought waits on a disk: both end within a day."""


class Eraser:
    """Cancels and erases jobs. Raises only `errors.DarkroomError`."""

    def __init__(self, *, store: RedisJobStore, expiry: BlobExpiry, jobs: Jobs, files: Files, history: History) -> None:
        self._store = store
        self._history = history
        self._expiry = expiry
        self._jobs = jobs
        self._files = files

    async def cancel(self, org: str, job_id: str, *, by: str, reason: str | None = None) -> Job:
        """End the job if it has not begun, otherwise begin to end it; a job that has ended stays as it is."""
        while True:
            job = await self._jobs.get(org, job_id)
            if job.status.terminal or job.status is Status.CANCELING:
                return job
            try:
                return await self._store.commit(job, moves.cancel(job, now_ms(), by=by, reason=reason))
            except Stale:
                continue

    async def erase(self, org: str, job_id: str, *, by: str) -> None:
        """Forget a job, its inputs, pictures and events, and what history has of it. Again: nothing changes.

        A live one is canceled first. While history cannot be reached, nothing can be promised: `ServiceUnavailable`.

        Previews are in no record for long: they are left to their hour.
        """
        try:
            job = await self.cancel(org, job_id, by=by)
            if not job.status.terminal:
                job = await self._jobs.wait(org, job_id, CANCEL_SECONDS)
            while not await self._forget(job):
                job = await self._jobs.get(org, job_id)
        except Gone:
            return

    async def _forget(self, job: Job) -> bool:
        """Whether the job is erased with its pictures; another move may have come first, and brought one more.

        A picture of an open call may be stored by a worker that dies before it hears: it goes when no call can last.
        """
        late = [name for place in ledger.possibly_stored(job) for name in names_of(job, *place)]
        await self._expiry.add(now_ms() + LATE_MS, *late)
        await self._expiry.discard(*job.request.staged, *(image.blob for image in job.images))
        await self._files.forget(job)
        if (made := made_by(job)) is not None:
            await self._history.remove(*made)
        try:
            await self._store.erase(job)
        except Stale:
            return False
        await self._files.forget(job)  # one that was written meanwhile, by who had read the job before
        return True
