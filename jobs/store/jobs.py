"""Where jobs are kept: Redis, every move one atomic script."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import msgspec

from jobs.errors import QueueFull, QuotaExceeded
from jobs.ids import new_id
from jobs.model.job import Event, Job
from jobs.model.json import job_json
from jobs.model.moves import Changed
from jobs.model.times import moment, now_ms
from jobs.redis.connection import reachable
from jobs.redis.keys import EVENT, JobField, Keys
from jobs.redis.scripts import Scripts
from jobs.store import arguments
from jobs.store.arguments import OutboxRow
from jobs.store.claims import Beat, Claim, score
from jobs.store.documents import pack, unpack
from jobs.store.durations import DAY_MS, PROBE_MS, TURN_START_MS
from jobs.store.memory import Room
from jobs.store.outcomes import Adopted, CircuitOpen, Created, Fenced, Full, Key, Known, Page, Stale

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.settings import Settings

SOUGHT_AT_ONCE: Final = 20
OutboxRows = Callable[[Job, Event], Awaitable[Sequence[OutboxRow]]]
"""The webhook deliveries that an event of a job sends on their way."""


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
    `outbox_rows`: what is written with an event for webhooks; without it nothing is.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each part by name
        self,
        redis: Redis,
        prefix: str,
        base_url: str,
        *,
        picture_days: int | None = None,
        limits: Mapping[str, int] | None = None,
        outbox_rows: OutboxRows | None = None,
    ) -> None:
        self._outbox_rows = outbox_rows or _no_rows
        self._picture_days = picture_days
        self._limits = dict(limits or {})
        self.redis = redis
        self.prefix = prefix
        self.keys = Keys(prefix)
        self.base_url = base_url
        self._scripts = Scripts(redis, prefix, _SCRIPTS)
        self._room = Room(redis)

    async def create(
        self, job: Job, key: Key | None = None, wait_ms: int | None = None, *, waited: bool = False
    ) -> Created | Known | Full | Adopted:
        """See `JobStore.create`."""
        await self._room.require()
        turn = f"{self.prefix}{new_id('turn')}"
        event, rows = await self._told(Changed(job, "image.job.queued"))
        told = arguments.create_job(job, rows, turn, waited=waited)
        if key is not None:
            told["idempotency"] = arguments.idempotency(job, key, self._idem(job, key))
        if wait_ms is not None:
            told["adoption"] = arguments.adoption(self._undelivered(job), wait_ms)
        answer = await self._scripts.run("create_job", told, pack(job), event, *_documents(rows))
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
                return Created(turn if wanted else None)
        raise AssertionError(answer)

    async def get(self, job_id: str) -> Job | None:
        """See `JobStore.get`."""
        with reachable():
            doc = await self.redis.hget(self.keys.job(job_id), JobField.DOCUMENT)  # type: ignore[misc]  # redis-py types both clients as one
        return None if doc is None else unpack(cast("bytes", doc))

    async def many(self, org: str, job_ids: Sequence[str]) -> list[Job | bool]:
        """The records as they stand, in one round trip; for one that is not there: whether the org ever had it."""
        with reachable():
            pipe = self.redis.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.hget(self.keys.job(job_id), JobField.DOCUMENT)
                pipe.get(self.keys.tombstone(job_id))
            found = await pipe.execute() if job_ids else []
        pairs = zip(found[0::2], found[1::2], strict=True)
        return [tomb == org.encode() if doc is None else unpack(doc) for doc, tomb in pairs]

    async def commit(self, before: Job, changed: Changed, fence: int | None = None) -> Job:
        """See `JobStore.commit`."""
        job = changed.job
        event, rows = await self._told(changed)
        told = arguments.commit_move(before, job, rows, fence, self._picture_days)
        answer = await self._scripts.run("commit_move", told, pack(job), event, *_documents(rows))
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
        jobs = tuple(unpack(doc) for doc in docs if doc is not None)
        return Page(jobs, ids[-1] if len(ids) == limit else None)

    async def events(self, job_id: str, after: int = 0) -> list[dict[str, Any]]:
        """The job's events with a sequence above `after`, in order."""
        with reachable():
            rows = await self.redis.xrange(self.keys.events(job_id), f"({after}" if after else "-", "+")
        return [msgspec.json.decode(fields[EVENT.encode()]) for _, fields in rows]

    async def claim_next(self, turn: str, worker: str, lease_ms: int) -> Claim | None:
        """The next job that is this turn's to run; with `None` the turn has been given back."""
        told = {"turn": turn, "worker": worker, "lease_ms": lease_ms, "probe_ms": PROBE_MS, "limits": self._limits}
        while True:
            answer = await self._scripts.run("claim_job", told)
            if answer is None:
                return None
            if answer:
                fence, document, room = answer
                return Claim(unpack(document), fence, turn, bool(room))

    async def beat(self, worker: str, ttl_ms: int, slots: int, held: Iterable[Claim]) -> Beat:
        """Keep a worker's slots, turns and leases alive for another `ttl_ms`."""
        claims = list(held)
        told = {
            "worker": worker,
            "lease_ms": ttl_ms,
            "slots": slots,
            "claims": [{"id": claim.job.id, "fence": claim.fence, "turn": claim.turn} for claim in claims],
        }
        now, due, later, lost, canceling = await self._scripts.run("renew_leases", told)
        names = frozenset(claims[place - 1].name for place in lost)
        return Beat(now, score(due), score(later), names, frozenset(job_id.decode() for job_id in canceling))

    async def leave(self, worker: str, slots: int, turns: Sequence[str]) -> None:
        """Take a worker's slots, and turns that it will not run, out of the count."""
        await self._scripts.run("release_slots", {"worker": worker, "slots": slots, "turns": turns})

    async def overdue(self, lease_ms: int) -> list[str]:
        """Put jobs without a live lease back among the ready; answer those past their deadline.

        Nothing is done in the first `lease_ms` of a Redis that has been started again.
        """
        return [i.decode() for i in await self._scripts.run("reap_leases", {"lease_ms": lease_ms})]

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
        told = {"turns": offered, "turn_start_ms": TURN_START_MS, "limits": self._limits}
        return [turn.decode() for turn in await self._scripts.run("missing_turns", told)]

    async def erase(self, job: Job) -> None:
        """Forget a job, its events and its deliveries; its id is known to be gone. Raises `Stale`."""
        if not await self._scripts.run("erase_job", arguments.erase_job(job)):
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

    async def _told(self, changed: Changed) -> tuple[bytes, Sequence[OutboxRow]]:
        """What the outside hears of a change: its event, and the rows of the outbox."""
        if changed.event is None:
            return b"", ()
        job = changed.job
        event = Event(
            id=new_id("evt"),
            type=changed.event,
            timestamp=moment(job.updated_ms),
            sequence=job.version,
            job_id=job.id,
            data=job_json(job, self.base_url, with_request=False),
        )
        return msgspec.json.encode(event), await self._outbox_rows(job, event)


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


async def _no_rows(_: Job, __: Event) -> Sequence[OutboxRow]:
    return ()


def _documents(rows: Sequence[OutboxRow]) -> list[bytes]:
    return [row.document for row in rows]


def _until_tomorrow() -> float:
    return (DAY_MS - now_ms() % DAY_MS) / 1000


def job_store(redis: Redis, settings: Settings, outbox_rows: OutboxRows) -> RedisJobStore:
    """Where jobs are kept, as the settings ask for it."""
    return RedisJobStore(
        redis,
        settings.redis_prefix,
        settings.public_base_url,
        picture_days=settings.picture_days,
        limits=settings.provider_concurrency,
        outbox_rows=outbox_rows,
    )
