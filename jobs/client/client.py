"""The asking half: submit, wait, get, cancel, list, and read a picture. What the faces see of the job."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from jobs.blobs.store import BlobMissing
from jobs.client.erase import CANCEL_SECONDS, LATE_MS
from jobs.client.submit import CREATE_SECONDS, RETRY_SECONDS, Estimate, Submitted
from jobs.errors import (
    DarkroomError,
    Gone,
    IdempotencyKeyReused,
    NotFound,
    QueueFull,
    ServiceUnavailable,
    StoreUnavailable,
)
from jobs.model import fallback, ledger, moves
from jobs.model.job import Job, Status
from jobs.model.times import now_ms
from jobs.pictures.names import names_of
from jobs.providers import PROVIDERS
from jobs.store.durations import ADOPT_MS
from jobs.store.outcomes import Adopted, CircuitOpen, Created, Full, Key, Known, Stale

if TYPE_CHECKING:
    from jobs.blobs.expiry import BlobExpiry
    from jobs.blobs.links import OwnLinks
    from jobs.blobs.store import BlobInfo, BlobStore
    from jobs.catalog.families import Catalog
    from jobs.client.estimates import Estimates
    from jobs.client.notifier import Waiting
    from jobs.client.routing import Offered, Router
    from jobs.client.submission import Ask, Drafts
    from jobs.model.filters import Filters
    from jobs.model.request import Target
    from jobs.queue import Turns
    from jobs.settings import Settings
    from jobs.store.breaker import Health
    from jobs.store.jobs import RedisJobStore
    from jobs.store.stats import Gauges
    from jobs.webhooks.delivery import Delivery
    from jobs.webhooks.outbox import Outbox

READ_AT_MOST: Final = 1_000
"""Records that one list request may look at."""


class Jobs:
    """Everything that may be asked about jobs. Raises only `errors.DarkroomError`."""

    def __init__(  # noqa: PLR0913  # the composition root hands over each part by name
        self,
        *,
        store: RedisJobStore,
        gauges: Gauges,
        estimates: Estimates,
        turns: Turns,
        waiting: Waiting,
        catalog: Catalog,
        blobs: BlobStore,
        expiry: BlobExpiry,
        links: OwnLinks,
        outbox: Outbox,
        drafts: Drafts,
        router: Router,
        settings: Settings,
    ) -> None:
        self._store = store
        self._gauges = gauges
        self._estimates = estimates
        self._turns = turns
        self._waiting = waiting
        self._catalog = catalog
        self._blobs = blobs
        self._expiry = expiry
        self._links = links
        self._outbox = outbox
        self._drafts = drafts
        self._router = router
        self._settings = settings

    def targets(self, name: str, provider: str | None = None) -> tuple[Target, ...]:
        """Where a model's name leads: the first target is to be asked, the others are its fallbacks.

        `provider`: whose a name is that the deployment has given no meaning of its own. Raises `InvalidInput`,
        `ServiceUnavailable`.
        """
        return self._router.targets(name, provider)

    def offered(self) -> tuple[Offered, ...]:
        """The names that can be listed, in their order; others may be known, too."""
        return self._router.names()

    async def submit(self, ask: Ask) -> Submitted:
        """Accept a job, or join the one that the idempotency key names. Nothing is stored on a refusal."""
        job = await self._drafts.prepare(ask)
        key = None if ask.idempotency_key is None else Key(ask.idempotency_key, job.fingerprint)
        try:
            job, created = await self._create(
                job, key, ask.wait_seconds if job.adoptable else None, waited=bool(ask.wait_seconds)
            )
        except DarkroomError:
            await self._expiry.discard(*job.request.staged)
            raise
        if not isinstance(created, Created):
            await self._expiry.discard(*job.request.staged)
        match created:
            case Created(turn):
                if turn is not None:
                    await self._turns.ring(turn)
                return Submitted(job)
            case Adopted(job_id):
                return Submitted(await self.get(ask.org, job_id), adopted=True)
            case Full(ahead):
                raise self._full(job, ahead)
            case Known(job_id, fingerprint):
                return Submitted(await self._known(job, job_id, fingerprint), replayed=True)

    async def enter(self, job: Job) -> None:
        """Create a prepared job; a second time changes nothing. On a refusal its staged pictures are discarded."""
        try:
            job, created = await self._create(job, None, None, waited=False)
            if isinstance(created, Full):
                raise self._full(job, created.ahead)
        except StoreUnavailable:  # it may have been created unheard: its pictures stay
            raise
        except DarkroomError:
            await self.discard(job)
            raise
        if isinstance(created, Created) and created.turn is not None:
            await self._turns.ring(created.turn)

    async def prepare(self, ask: Ask) -> Job:
        """The job of an ask, which is checked, its pictures staged, and nothing else stored."""
        return await self._drafts.prepare(ask)

    async def discard(self, job: Job) -> None:
        """A prepared job is not created after all."""
        await self._expiry.discard(*job.request.staged)

    async def many(self, org: str, job_ids: Sequence[str]) -> list[Job | bool]:
        """Each job as it stands, in one round trip; for one that is not there: whether the org ever had it."""
        now = now_ms()
        found = await self._store.many(org, job_ids)
        return [(await self._look(j.id) or True) if isinstance(j, Job) and j.overdue(now) else j for j in found]

    async def get(self, org: str, job_id: str) -> Job:
        """The job as it stands; past its deadline, the move is made now. Raises `NotFound`, `Gone`."""
        job = await self._look(job_id)
        if job is not None and job.org == org:
            return job
        if await self._store.erased(org, job_id):  # asked of another org's job, too: it takes no less than none
            raise Gone("the job was erased, or is past its retention", jobId=job_id)
        raise _unknown(job_id)

    async def wait(self, org: str, job_id: str, seconds: float, *, beyond: int | None = None) -> Job:
        """The job once it has ended (or, with `beyond`, has a version above it), or as it stands after `seconds`."""
        job = await self.get(org, job_id)

        def done(job: Job) -> bool:
            return job.status.terminal or (beyond is not None and job.version > beyond)

        return await self.until(job, done, seconds)

    async def until(self, job: Job, done: Callable[[Job], bool], seconds: float) -> Job:
        """The job once `done`, or as it stands after `seconds`. Raises `NotFound`, `Gone` once it is erased."""
        found = await self._waiting.until(job.id, lambda: self._look(job.id), done, seconds)
        return await self.get(job.org, job.id) if found is None else found

    @property
    def closing(self) -> bool:
        """Whether this process is about to stop: who follows a job comes back to another one."""
        return self._waiting.closing

    async def delivered(self, job: Job) -> None:
        """The job's result is being handed to somebody who asked for it."""
        if job.adoptable and job.images and now_ms() - job.created_ms < ADOPT_MS:
            with contextlib.suppress(ServiceUnavailable):
                await self._store.delivered(job)

    async def left(self, job: Job) -> None:
        """Whoever waited for the job has gone without its result; the job goes on."""
        if job.adoptable:
            with contextlib.suppress(ServiceUnavailable):
                await self._store.left(job)

    async def cancel(self, org: str, job_id: str, *, by: str, reason: str | None = None) -> Job:
        """End the job if it has not begun, otherwise begin to end it; a job that has ended stays as it is."""
        while True:
            job = await self.get(org, job_id)
            if job.status.terminal or job.status is Status.CANCELING:
                return job
            try:
                return await self._store.commit(job, moves.cancel(job, now_ms(), by=by, reason=reason))
            except Stale:
                continue

    async def erase(self, org: str, job_id: str, *, by: str) -> None:
        """Forget a job, its inputs, pictures and events; a live one is canceled first. Again: nothing changes.

        Previews are in no record for long: they are left to their hour.
        """
        try:
            job = await self.cancel(org, job_id, by=by)
            if not job.status.terminal:
                job = await self.wait(org, job_id, CANCEL_SECONDS)
            while not await self._forget(job):
                job = await self.get(org, job_id)
        except Gone:
            return

    async def _forget(self, job: Job) -> bool:
        """Whether the job is erased with its pictures; another move may have come first, and brought one more.

        A picture of an open call may be stored by a worker that dies before it hears: it goes when no call can last.
        """
        late = [name for place in ledger.possibly_stored(job) for name in names_of(job, *place)]
        await self._expiry.add(now_ms() + LATE_MS, *late)
        await self._expiry.discard(*job.request.staged, *(image.blob for image in job.images))
        try:
            await self._store.erase(job)
        except Stale:
            return False
        return True

    async def page(self, org: str, filters: Filters, after: str | None, limit: int) -> tuple[list[Job], str | None]:
        """At most `limit` jobs, newest first, and the cursor for more. Reads at most `READ_AT_MOST` records."""
        found: list[Job] = []
        read = 0
        while read < READ_AT_MOST:
            page = await self._store.page(org, after, 100)
            for job in page.jobs:
                if filters.match(job):
                    found.append(job)
                    if len(found) == limit:
                        return found, job.id
            read += 100
            after = page.cursor
            if after is None:
                break
        return found, after

    async def standing(self, job: Job) -> dict[str, Any]:
        """What is known of a job only at the read, over what its record says: `progress`, and `queue` and `phase`."""
        return await self._estimates.standing(job)

    async def progress(self, job: Job) -> dict[str, Any]:
        """How far the job is just now: `{value, source, step?, steps?, estimatedFinishSeconds?}`."""
        progress: dict[str, Any] = (await self.standing(job))["progress"]
        return progress

    async def deliveries(self, job: Job) -> tuple[Delivery, ...]:
        """How the news of the job fared, its own webhook's and those of the org's endpoints, oldest first."""
        return await self._outbox.of_job(job.org, job.id)

    async def events(self, job: Job, after: int = 0) -> list[dict[str, Any]]:
        """What the outside heard of the job after the version `after`, in order."""
        return await self._store.events(job.id, after)

    async def follow(self, job: Job, after: int, silence: float) -> AsyncIterator[dict[str, Any] | None]:
        """Each event after the version `after` as it comes, until the job has ended; None after `silence` seconds.

        Ends early when this process stops: whoever follows comes back with the last version that was seen.
        """
        while True:
            for event in await self.events(job, after):
                after = event["sequence"]
                yield event
            if job.status.terminal or self._waiting.closing:
                return
            newer = await self._beyond(job, silence)
            if newer is None:
                return
            if newer.version == job.version:
                yield None
            job = newer

    async def _beyond(self, job: Job, seconds: float) -> Job | None:
        def changed(now: Job) -> bool:
            return now.version > job.version

        return await self._waiting.until(job.id, lambda: self._look(job.id), changed, seconds)

    def patience(self, job: Job) -> int:
        """Seconds after which it is worth asking again: the rest of the model's own typical time, at least 1."""
        family = self._catalog.family(job.request.provider, job.request.model)
        begun = job.started_ms or now_ms()
        return max(1, min(30, round(family.p50_seconds - (now_ms() - begun) / 1000)))

    def content_link(self, job: Job, index: int) -> str:
        """A fresh link to a picture of the job. Raises `NotFound`."""
        for image in job.images:
            if image.index == index:
                return self._blobs.link(image.blob)
        message = f"the job has no picture {index}"
        raise NotFound(message, field="index", jobId=job.id)

    async def blob_info(self, name: str) -> BlobInfo:
        """What is stored under a name. Raises `blobs.BlobMissing`."""
        return await self._blobs.info(name)

    def blob_stream(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The stored bytes, in pieces."""
        return self._blobs.stream(name, start, length)

    async def picture(self, url: str) -> bytes:
        """The bytes behind a link of ours: a picture's, or a preview's. Raises `NotFound` when they are not there."""
        try:
            return await self._blobs.read(self._links.name_of(url) or "")
        except BlobMissing:
            raise NotFound("there is no picture at this address") from None

    async def ready(self) -> None:
        """Whether the store and the blob store answer. Raises `errors.DarkroomError`."""
        await self._store.ready()
        await self._blobs.ready()

    async def providers(self) -> list[tuple[str, str, Health]]:
        """Each provider, how it is played (`configured`, `simulated`, or what is missing), and its health."""
        found = []
        for name, entry in PROVIDERS.items():
            missing = entry.missing(self._settings)
            played = "simulated" if name in self._settings.simulated else "configured"
            found.append((name, missing or played, await self._gauges.health(name)))
        return found

    async def counts(self) -> dict[str, int]:
        """The queue in numbers."""
        return await self._gauges.counts()

    async def estimate(self, ask: Ask) -> Estimate:
        """What a job of this ask would be, cost and take. Nothing is stored, nobody is called."""
        job = await self._drafts.prepare(ask, stage=False)
        typical = await self._estimates.typical(job.request.provider, job.request.model)
        return Estimate(job, typical, await self._estimates.queued(job))

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

    def _full(self, job: Job, ahead: int) -> QueueFull:
        message = f"{ahead} jobs are queued ahead, more than the {job.options.max_queue_position} you accept"
        return QueueFull(message, retry_after=self.patience(job), ahead=ahead)

    async def _known(self, asked: Job, job_id: str, known: str) -> Job:
        if known != asked.fingerprint:
            message = "this idempotency key was used for another request"
            raise IdempotencyKeyReused(message, jobId=job_id)
        job = await self._look(job_id)
        if job is None:
            message = "the job of this idempotency key is past its retention"
            raise Gone(message, jobId=job_id)
        return job

    async def _look(self, job_id: str) -> Job | None:
        while True:
            job = await self._store.get(job_id)
            now = now_ms()
            if job is None or not job.overdue(now):
                return job
            try:
                return await self._store.commit(job, moves.overdue(job, now))
            except Stale:
                continue


def _unknown(job_id: str) -> NotFound:
    return NotFound("no such job", jobId=job_id[:64])
