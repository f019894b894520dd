"""Submitting: from a submission to a job that is in the store."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jobs.errors import (
    DarkroomError,
    Gone,
    IdempotencyKeyReused,
    NotFound,
    QueueFull,
    ServiceUnavailable,
    StoreUnavailable,
)
from jobs.model import fallback
from jobs.model.job import Job
from jobs.model.times import now_ms
from jobs.store.outcomes import Adopted, CircuitOpen, Created, Full, Key, Known

if TYPE_CHECKING:
    from jobs.blobs.expiry import BlobExpiry
    from jobs.client.client import Jobs
    from jobs.client.estimates import Estimates, Percentiles, Queued
    from jobs.client.submission import Preparer, Submission
    from jobs.store.jobs import RedisJobStore

CREATE_SECONDS: Final = 5.0
"""How long a submission outlasts a Redis that is away."""
RETRY_SECONDS: Final = 0.25


class Submitted(Struct, frozen=True):
    """The job of a submission. `replayed`: the idempotency key was known, and this is its job.

    `adopted`: an earlier job of the same request, which nobody waited for any more and whose result nobody had.
    """

    job: Job
    replayed: bool = False
    adopted: bool = False


class Estimate(Struct, frozen=True):
    """A job that was not made, the seconds that a call of it takes, and where it would stand."""

    job: Job
    typical: Percentiles
    queued: Queued


class Submitter:
    """Accepts jobs. Raises only `errors.DarkroomError`."""

    def __init__(  # the composition root hands over each part by name
        self,
        *,
        store: RedisJobStore,
        expiry: BlobExpiry,
        preparer: Preparer,
        estimates: Estimates,
        jobs: Jobs,
    ) -> None:
        self._store = store
        self._expiry = expiry
        self._preparer = preparer
        self._estimates = estimates
        self._jobs = jobs

    async def submit(self, submission: Submission) -> Submitted:
        """Accept a job, or join the one that the idempotency key names. Nothing is stored on a refusal."""
        job = await self._preparer.prepare(submission)
        key = None if submission.idempotency_key is None else Key(submission.idempotency_key, job.fingerprint)
        wait = submission.wait_seconds if job.adoptable else None
        try:
            job, created = await self._create(job, key, wait, waited=bool(submission.wait_seconds))
        except DarkroomError:
            await self.discard(job)
            raise
        if not isinstance(created, Created):
            await self.discard(job)
        match created:
            case Created():
                return Submitted(job)
            case Adopted(job_id):
                return Submitted(await self._jobs.get(submission.org, job_id), adopted=True)
            case Full(ahead):
                raise self._full(job, ahead)
            case Known(job_id, fingerprint):
                return Submitted(await self._known(job, job_id, fingerprint), replayed=True)

    async def estimate(self, submission: Submission) -> Estimate:
        """What a job of this submission would be, cost and take. Nothing is stored, nobody is called."""
        job = await self._preparer.prepare(submission, stage=False)
        typical = await self._estimates.typical(job.request.provider, job.request.model)
        return Estimate(job, typical, await self._estimates.queued(job))

    async def prepare(self, submission: Submission) -> Job:
        """The job of a submission, which is checked, its pictures staged, and nothing else stored."""
        return await self._preparer.prepare(submission)

    async def enter(self, job: Job) -> None:
        """Create a prepared job; a second time changes nothing. On a refusal its staged pictures are discarded."""
        try:
            _, created = await self._create(job, None, None, waited=False)
            if isinstance(created, Full):
                raise self._full(job, created.ahead)
        except StoreUnavailable:  # it may have been created unheard: its pictures stay
            raise
        except DarkroomError:
            await self.discard(job)
            raise

    async def discard(self, job: Job) -> None:
        """A prepared job is not created after all: its staged pictures go now, or at their time if Redis is away."""
        with contextlib.suppress(ServiceUnavailable):
            await self._expiry.discard(*job.request.staged)

    async def _create(
        self, job: Job, key: Key | None, wait: float | None, *, waited: bool
    ) -> tuple[Job, Created | Known | Full | Adopted]:
        """The job as it was created, perhaps at a target after those whose breakers are open.

        A write whose answer was lost is made again: a caller who is told 503 shall not own a job unawares.
        """
        end = now_ms() + CREATE_SECONDS * 1000
        wait_ms = None if wait is None else round((wait + CREATE_SECONDS) * 1000)
        while True:
            try:
                return job, await self._store.create(job, key, wait_ms, waited=waited)
            except CircuitOpen:
                if not job.fallbacks:
                    raise
                job = fallback.redirected(job, fallback.SHUT)
            except StoreUnavailable:
                if now_ms() > end:
                    raise
                await asyncio.sleep(RETRY_SECONDS)

    async def _known(self, asked: Job, job_id: str, known: str) -> Job:
        if known != asked.fingerprint:
            raise IdempotencyKeyReused("this idempotency key was used for another request", jobId=job_id)
        try:
            return await self._jobs.get(asked.org, job_id)
        except (NotFound, Gone):
            raise Gone("the job of this idempotency key is past its retention", jobId=job_id) from None

    def _full(self, job: Job, ahead: int) -> QueueFull:
        message = f"{ahead} jobs are queued ahead, more than the {job.options.max_queue_position} you accept"
        return QueueFull(message, retry_after=self._estimates.retry_after(job), ahead=ahead)
