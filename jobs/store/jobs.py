"""Where jobs are kept: Redis, every move one atomic script."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import msgspec

from jobs.errors import QueueFull, QuotaExceeded
from jobs.ids import new_id
from jobs.model import fallback, ledger
from jobs.model.job import Event, Job, Status
from jobs.model.json import job_json
from jobs.model.moves import Changed
from jobs.model.times import moment, now_ms
from jobs.redis.connection import reachable
from jobs.redis.keys import EVENT, JobField, Keys
from jobs.redis.scripts import scripts
from jobs.store.claims import Beat, Claim, names_in, score
from jobs.store.durations import (
    ADOPT_MS,
    AGES_MS,
    DAY_MS,
    HEAD_START_MS,
    KEY_DAYS_MS,
    PROBE_MS,
    TOLD_MS,
    TOMB_MS,
    TURN_START_MS,
    USED_MS,
)
from jobs.store.memory import Room
from jobs.store.outcomes import Adopted, CircuitOpen, Created, Fenced, Full, Key, Known, Page, Stale
from jobs.webhooks.delivery import deliveries
from jobs.webhooks.endpoint import Endpoint
from jobs.webhooks.outbox import KEPT_MS, rows

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.settings import Settings

SOUGHT_AT_ONCE: Final = 20
EndpointsOf = Callable[[str], Awaitable[Sequence[Endpoint]]]


class JobStore(Protocol):
    """What the asking and the doing half need of a store."""

    async def create(
        self, job: Job, key: Key | None = None, wait_ms: int | None = None, *, waited: bool = False
    ) -> Created | Known | Full | Adopted:
        """Accept a job. Raises `ServiceUnavailable` when the store is out of reach or out of memory.

        `wait_ms`: how long its caller waits in this very request; an undelivered job of the same wish is adopted then.
        `waited`: somebody waits, which gives the job a head start inside its org. Raises `QueueFull`, `QuotaExceeded`.
        """
        ...

    async def get(self, job_id: str) -> Job | None:
        """The record as it stands."""
        ...

    async def commit(self, before: Job, changed: Changed, fence: int | None = None) -> Job:
        """Write a move. Raises `Stale`, `Fenced`."""
        ...

    async def page(self, org: str, after: str | None, limit: int) -> Page:
        """An org's jobs, newest first, below the id `after`."""
        ...


class RedisJobStore:
    """The store on Redis 6.2 or newer. `base_url` is the base of the links in events.

    `picture_days`: after so many days pictures are deleted whose request said nothing; None: never.
    `limits`: how many jobs of a provider run at once, over all workers.
    `endpoints`: the enabled webhook endpoints of an org, which may be some seconds old.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each part by name
        self,
        redis: Redis,
        prefix: str,
        base_url: str,
        *,
        picture_days: int | None = None,
        limits: Mapping[str, int] | None = None,
        endpoints: EndpointsOf | None = None,
    ) -> None:
        self._endpoints = endpoints or _no_endpoints
        self._picture_days = picture_days
        self._limits = [part for pair in (limits or {}).items() for part in pair]
        self.redis = redis
        self.prefix = prefix
        self.keys = Keys(prefix)
        self.base_url = base_url
        self._scripts = scripts(redis, _SCRIPTS)
        self._room = Room(redis)

    async def create(
        self, job: Job, key: Key | None = None, wait_ms: int | None = None, *, waited: bool = False
    ) -> Created | Known | Full | Adopted:
        """See `JobStore.create`."""
        await self._room.require()
        turn = new_id("turn")
        most = job.options.max_queue_position
        event, posts = await self._told(Changed(job, "image.job.queued"))
        answer = await self._run(
            "create_job",
            job.id,
            _pack(job),
            job.org,
            job.created_ms + AGES_MS[job.options.priority] - (HEAD_START_MS if waited else 0),
            job.deadline_ms,
            event,
            job.version,
            "" if key is None else self._idem(job, key),
            "" if key is None else f"{job.id} {key.fingerprint}",
            max(KEY_DAYS_MS, job.cancel_at_ms - job.created_ms + (job.options.expires_after or 0) * 1000),
            f"{self.prefix}{turn}",
            TURN_START_MS,
            -1 if most is None else most,
            KEPT_MS,
            job.request.provider,
            "" if wait_ms is None else self._undelivered(job),
            wait_ms or 0,
            ADOPT_MS,
            job.expected_seconds,
            _day(job),
            job.request.n,
            job.request.n * job.unit_price,
            USED_MS,
            job.subject,
            _way(job),
            job.key_id or "",
            TOLD_MS,
            *posts,
        )
        match answer:
            case [b"open", shut_ms]:
                raise CircuitOpen(job.request.provider, shut_ms / 1000)
            case [b"crowded", depth, most]:
                message = f"{depth} jobs of your org are queued, and {most} may be"
                raise QueueFull(message, retry_after=10, reason="org_queue_full", queued=depth, limit=most)
            case [b"quota", name, whose]:
                raise QuotaExceeded(name.decode(), whose.decode(), retry_after=_until_tomorrow())
            case [b"adopted", earlier]:
                return Adopted(earlier.decode())
            case [b"known", claim]:
                job_id, _, fingerprint = claim.decode().partition(" ")
                return Known(job_id, fingerprint)
            case [b"full", ahead]:
                return Full(ahead)
            case [_, wanted]:
                return Created(f"{self.prefix}{turn}" if wanted else None)
        raise AssertionError(answer)

    async def get(self, job_id: str) -> Job | None:
        """See `JobStore.get`."""
        with reachable():
            doc = await self.redis.hget(self.keys.job(job_id), JobField.DOCUMENT)  # type: ignore[misc]  # redis-py types both clients as one
        return None if doc is None else _unpack(cast("bytes", doc))

    async def many(self, org: str, job_ids: Sequence[str]) -> list[Job | bool]:
        """The records as they stand, in one round trip; for one that is not there: whether the org ever had it."""
        with reachable():
            pipe = self.redis.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.hget(self.keys.job(job_id), JobField.DOCUMENT)
                pipe.get(self.keys.tombstone(job_id))
            found = await pipe.execute() if job_ids else []
        pairs = zip(found[0::2], found[1::2], strict=True)
        return [tomb == org.encode() if doc is None else _unpack(doc) for doc, tomb in pairs]

    async def commit(self, before: Job, changed: Changed, fence: int | None = None) -> Job:
        """See `JobStore.commit`."""
        job = changed.job
        event, posts = await self._told(changed)
        answer = await self._run(
            "commit_move",
            job.id,
            _pack(job),
            before.version,
            job.version,
            "" if fence is None else fence,
            str(job.status),
            job.org,
            job.deadline_ms,
            event,
            job.expires_ms or 0,
            job.not_before_ms or 0,
            KEPT_MS,
            TOMB_MS,
            job.subject,
            _day(job),
            job.used_images - before.used_images,
            job.used_cost - before.used_cost,
            job.request.provider,
            job.expected_seconds,
            _way(job) if job.status is Status.QUEUED else 0,
            job.key_id or "",
            int(job.status.terminal and bool(ledger.open_rows(before))),
            *self._expiring(job),
            *posts,
        )
        match answer:
            case b"ok":
                return job
            case b"fenced":
                raise Fenced(job.id)
            case _:
                raise Stale(job.id)

    async def page(self, org: str, after: str | None, limit: int) -> Page:
        """See `JobStore.page`. Ids whose record is gone are skipped and forgotten."""
        index = self.keys.jobs_of_org(org)
        top = f"({after}" if after else "+"
        with reachable():
            ids = [i.decode() for i in await self.redis.zrevrangebylex(index, top, "-", 0, limit)]
            pipe = self.redis.pipeline(transaction=False)
            for job_id in ids:
                pipe.hget(self.keys.job(job_id), JobField.DOCUMENT)
            docs = await pipe.execute() if ids else []
            gone = [job_id for job_id, doc in zip(ids, docs, strict=True) if doc is None]
            if gone:
                await self.redis.zrem(index, *gone)
        jobs = tuple(_unpack(doc) for doc in docs if doc is not None)
        return Page(jobs, ids[-1] if len(ids) == limit else None)

    async def events(self, job_id: str, after: int = 0) -> list[dict[str, Any]]:
        """The job's events with a sequence above `after`, in order."""
        with reachable():
            rows = await self.redis.xrange(self.keys.events(job_id), f"({after}" if after else "-", "+")
        return [msgspec.json.decode(fields[EVENT.encode()]) for _, fields in rows]

    async def claim_next(self, turn: str, worker: str, lease_ms: int) -> Claim | None:
        """The next job that is this turn's to run; with `None` the turn has been given back."""
        while True:
            answer = await self._run("claim_job", turn, worker, lease_ms, PROBE_MS, *self._limits)
            if answer is None:
                return None
            if answer:
                _, fence, doc, room = answer
                return Claim(_unpack(doc), fence, turn, bool(room))

    async def beat(self, worker: str, ttl_ms: int, slots: int, held: Iterable[Claim]) -> Beat:
        """Keep a worker's slots, turns and leases alive for another `ttl_ms`."""
        leases = [part for claim in held for part in (claim.job.id, claim.fence, claim.turn)]
        now, due, later, lost, canceling = await self._run("renew_leases", worker, ttl_ms, slots, *leases)
        return Beat(now, score(due), score(later), names_in(lost), names_in(canceling))

    async def leave(self, worker: str, slots: int, turns: Sequence[str]) -> None:
        """Take a worker's slots, and turns that it will not run, out of the count."""
        await self._run("release_slots", worker, slots, *turns)

    async def overdue(self, lease_ms: int) -> list[str]:
        """Put jobs without a live lease back among the ready; answer those past their deadline.

        Nothing is done in the first `lease_ms` of a Redis that has been started again.
        """
        return [i.decode() for i in await self._run("reap_leases", lease_ms)]

    async def sought(self) -> list[str]:
        """Jobs that ended with a call open, and whose leases are over: what the call stored is to be sought."""
        with reachable():
            found = await self.redis.zrangebyscore(self.keys.pending_salvage, "-inf", now_ms(), 0, SOUGHT_AT_ONCE)
        return [job_id.decode() for job_id in found]

    async def seek_again(self, job_id: str, at_ms: int | None) -> None:
        """Look for the job's pictures again then; None: never."""
        with reachable():
            if at_ms is None:
                await self.redis.zrem(self.keys.pending_salvage, job_id)
            else:
                await self.redis.zadd(self.keys.pending_salvage, {job_id: at_ms}, xx=True)

    async def missing_turns(self, most: int) -> list[str]:
        """Turns that have to be rung: at most `most`, no more than there is work and free slots for."""
        offered = [f"{self.prefix}{new_id('turn')}" for _ in range(most)]
        return [t.decode() for t in await self._run("missing_turns", TURN_START_MS, most, *offered, *self._limits)]

    async def erase(self, job: Job) -> None:
        """Forget a job, its events and its deliveries; its id is known to be gone. Raises `Stale`."""
        images = job.chargeable - job.used_images
        told = _day(job), job.key_id or "", images, images * job.unit_price
        if not await self._run("erase_job", job.id, job.org, TOMB_MS, job.subject, job.version, *told):
            raise Stale(job.id)

    async def erased(self, org: str, job_id: str) -> bool:
        """Whether the org once had a job of that id, which was erased or is past its retention."""
        with reachable():
            return bool(await self.redis.get(self.keys.tombstone(job_id)) == org.encode())

    async def left(self, job: Job) -> None:
        """Whoever waited for the job has gone without its result."""
        with reachable():
            await self.redis.zadd(self._undelivered(job), {job.id: 0}, xx=True)

    async def delivered(self, job: Job) -> None:
        """Somebody has the job's result: it is nobody else's to adopt."""
        with reachable():
            await self.redis.zrem(self._undelivered(job), job.id)

    async def ready(self) -> None:
        """One round trip. Raises `ServiceUnavailable`."""
        with reachable():
            await self.redis.ping()

    def _idem(self, job: Job, key: Key) -> str:
        return self.keys.idempotency(f"{job.org}:{len(job.subject)}:{job.subject}:{key.value}")

    def _undelivered(self, job: Job) -> str:
        return self.keys.undelivered(job.org, job.subject, job.fingerprint)

    def _expiring(self, job: Job) -> list[str | int]:
        """How many blobs expire with a job's end, then each with its time: inputs, and pictures by retention."""
        if not job.status.terminal:
            return [0]
        end = job.expires_ms or 0
        inputs = end if job.options.store_inputs else job.updated_ms
        doomed = [(name, inputs) for name in job.request.staged]
        if job.options.expires_after is not None:
            doomed += [(image.blob, end) for image in job.images]
        elif self._picture_days is not None:
            at = (job.finished_ms or 0) + self._picture_days * DAY_MS
            doomed += [(image.blob, at) for image in job.images]
        return [len(doomed), *(part for pair in doomed for part in pair)]

    async def _told(self, changed: Changed) -> tuple[bytes | str, list[bytes | str]]:
        """What the outside hears of a change: its event, and the rows of the outbox."""
        if changed.event is None:
            return "", []
        job = changed.job
        event = Event(
            id=new_id("evt"),
            type=changed.event,
            timestamp=moment(job.updated_ms),
            sequence=job.version,
            job_id=job.id,
            data=job_json(job, self.base_url, with_request=False),
        )
        return msgspec.json.encode(event), rows(deliveries(job, event, await self._endpoints(job.org)))

    async def _run(self, name: str, *args: Any) -> Any:
        with reachable():
            return await self._scripts[name](args=[self.prefix, *args])


_SCRIPTS: Final = (
    "create_job",
    "claim_job",
    "commit_move",
    "renew_leases",
    "reap_leases",
    "missing_turns",
    "release_slots",
    "erase_job",
)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Job)


async def _no_endpoints(_: str) -> Sequence[Endpoint]:
    return ()


def _pack(job: Job) -> bytes:
    return _encoder.encode(job)


def _unpack(doc: bytes) -> Job:
    return _decoder.decode(doc)


def _way(job: Job) -> int:
    """What a queued job needs of its provider: 0, room; 1, room or to be let go; 2, nothing: its picture is on disk."""
    return 2 if ledger.open_rows(job) else int(fallback.allowed(job))


def _day(job: Job) -> str:
    """The day (UTC) on whose quota a job counts: that of its acceptance."""
    return moment(job.created_ms)[:10]


def _until_tomorrow() -> float:
    return (DAY_MS - now_ms() % DAY_MS) / 1000


def job_store(redis: Redis, settings: Settings, endpoints: EndpointsOf | None = None) -> RedisJobStore:
    """Where jobs are kept; `endpoints` hear of what becomes of them."""
    return RedisJobStore(
        redis,
        settings.redis_prefix,
        settings.public_base_url,
        picture_days=settings.picture_days,
        limits=settings.provider_concurrency,
        endpoints=endpoints,
    )
