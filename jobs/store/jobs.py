"""Where jobs are kept: Redis, every move one atomic script."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from jobs.errors import QueueFull, QuotaExceeded
from jobs.ids import new_id
from jobs.model.account import Accounts
from jobs.model.job import Event, Job
from jobs.model.json import job_json, present
from jobs.model.moves import Changed
from jobs.model.times import moment, now_ms
from jobs.queue import TURN_DOCUMENT
from jobs.redis.connection import translate_redis_errors
from jobs.redis.fields import JobField
from jobs.redis.keys import Keys
from jobs.redis.scripts import Scripts
from jobs.store import arguments
from jobs.store.arguments import Arguments, OutboxRow
from jobs.store.documents import pack, unpack
from jobs.store.durations import DAY_MS
from jobs.store.events import pack_event, unpack_events
from jobs.store.memory import MemoryGuard
from jobs.store.outcomes import Adopted, CircuitOpen, Created, Fenced, Full, Key, Known, Page, Stale

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.settings import Settings

OutboxRows = Callable[[Job, Event], Awaitable[Sequence[OutboxRow]]]
"""The webhook deliveries that an event of a job sends on their way."""


class RedisJobStore:
    """The store on Redis 6.2 or newer. `base_url` is the base of the links in events.

    `picture_days`: after so many days pictures are deleted whose request said nothing; None: never.
    `outbox_rows`: what is written with an event for webhooks; without it nothing is.
    `accounts`: those of providers that have several, or a limit.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each part by name
        self,
        redis: Redis,
        prefix: str,
        base_url: str,
        *,
        picture_days: int | None = None,
        outbox_rows: OutboxRows | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        self._outbox_rows = outbox_rows or _no_rows
        self._picture_days = picture_days
        self._accounts = accounts or {}
        self.redis = redis
        self.prefix = prefix
        self.keys = Keys(prefix)
        self.base_url = base_url
        self._scripts = Scripts(redis, prefix, _SCRIPTS)
        self._memory = MemoryGuard(redis)

    async def create(
        self, job: Job, key: Key | None = None, wait_ms: int | None = None, *, waited: bool = False
    ) -> Created | Known | Full | Adopted:
        """Accept a job. Raises `ServiceUnavailable` when the store is out of reach or out of memory.

        `wait_ms`: how long its caller waits in this request; an undelivered job of an equal one is adopted then.
        `waited`: somebody waits, which gives the job a head start inside its org. Raises `QueueFull`, `QuotaExceeded`.
        """
        await self._memory.require()
        turn = f"{self.prefix}{new_id('turn')}"
        events, rows = await self._told(Changed(job, "image.job.queued"))
        told = arguments.create_job(job, rows, turn, self._accounts.get(job.request.provider), waited=waited)
        if key is not None:
            told["idempotency"] = arguments.idempotency(job, key, self._idem(job, key))
        if wait_ms is not None:
            told["adoption"] = arguments.adoption(self._undelivered(job), wait_ms)
        answer = await self._scripts.run("create_job", told, pack(job), *events, *_documents(rows), TURN_DOCUMENT)
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
            case [b"created"]:
                return Created()
        raise AssertionError(answer)

    async def get(self, job_id: str) -> Job | None:
        """The record as it stands."""
        with translate_redis_errors():
            doc = await self.redis.hget(self.keys.job(job_id), JobField.DOCUMENT)  # type: ignore[misc]  # redis-py types both clients as one
        return None if doc is None else unpack(cast("bytes", doc))

    async def many(self, org: str, job_ids: Sequence[str]) -> list[Job | bool]:
        """The records as they stand, in one round trip; for one that is not there: whether the org ever had it."""
        found = await self._scripts.run("read_jobs", {"org": org, "ids": job_ids}) if job_ids else []
        return [unpack(each) if isinstance(each, bytes) else bool(each) for each in found]

    async def commit(
        self, before: Job, changed: Changed, fence: int | None = None, call: Arguments | None = None
    ) -> Job:
        """Write a move, and those made before it, together. `call` has ended with it (`Breaker.ended_call`).

        Raises `Stale`, `Fenced`.
        """
        events, rows = await self._told(*changed.earlier, changed)
        told = present(**arguments.commit_move(before, changed, rows, fence, self._picture_days), call=call)
        answer = await self._scripts.run("commit_move", told, pack(changed.job), *events, *_documents(rows))
        match answer:
            case b"ok":
                return changed.job
            case b"fenced":
                raise Fenced(before.id)
            case _:
                raise Stale(before.id)

    async def page(self, org: str, after: str | None, limit: int) -> Page:
        """An org's jobs, newest first, below the id `after`. Ids whose record is gone are skipped and forgotten."""
        ids, documents = await self._scripts.run("page_jobs", present(org=org, after=after, limit=limit))
        jobs = tuple(unpack(document) for document in documents if document)
        return Page(jobs, ids[-1].decode() if len(ids) == limit else None)

    async def events(self, job: Job, after: int = 0) -> list[dict[str, Any]]:
        """The events that brought the job as it is here from the version `after`, in order."""
        fields = [f"{JobField.EVENT}{version}" for version in range(after + 1, job.version + 1)]
        if not fields:
            return []
        with translate_redis_errors():
            found = await self.redis.hmget(self.keys.job(job.id), fields)  # type: ignore[misc]  # redis-py types both clients as one
        return unpack_events(job, [document for document in found if document], self.base_url)

    async def erase(self, job: Job) -> None:
        """Forget a job, its events and its deliveries; its id is known to be gone. Raises `Stale`."""
        if not await self._scripts.run("erase_job", arguments.erase_job(job)):
            raise Stale(job.id)

    async def erased(self, org: str, job_id: str) -> bool:
        """Whether the org once had a job of that id, which was erased or is past its retention."""
        with translate_redis_errors():
            return bool(await self.redis.get(self.keys.tombstone(job_id)) == org.encode())

    async def left(self, job: Job) -> None:
        """Whoever waited for the job has gone without its result."""
        with translate_redis_errors():
            await self.redis.zadd(self._undelivered(job), {job.id: 0}, xx=True)

    async def delivered(self, job: Job) -> None:
        """Somebody has the job's result: it is nobody else's to adopt."""
        with translate_redis_errors():
            await self.redis.zrem(self._undelivered(job), job.id)

    async def ready(self) -> None:
        """One round trip. Raises `ServiceUnavailable`."""
        with translate_redis_errors():
            await self.redis.ping()

    def _idem(self, job: Job, key: Key) -> str:
        return self.keys.idempotency(f"{job.org}:{len(job.subject)}:{job.subject}:{key.value}")

    def _undelivered(self, job: Job) -> str:
        return self.keys.undelivered(job.org, job.subject, job.fingerprint)

    async def _told(self, *changes: Changed) -> tuple[list[bytes], list[OutboxRow]]:
        """What the outside hears of changes: their events, and the rows of the outbox."""
        events: list[bytes] = []
        rows: list[OutboxRow] = []
        for job, kind in ((changed.job, changed.event) for changed in changes if changed.event is not None):
            event = Event(
                id=new_id("evt"),
                type=kind,
                timestamp=moment(job.updated_ms),
                sequence=job.version,
                job_id=job.id,
                data=job_json(job, self.base_url, with_request=False),
            )
            events.append(pack_event(event))
            rows += await self._outbox_rows(job, event)
        return events, rows


_SCRIPTS: Final = ("create_job", "commit_move", "erase_job", "page_jobs", "read_jobs")


async def _no_rows(_: Job, __: Event) -> Sequence[OutboxRow]:
    return ()


def _documents(rows: Sequence[OutboxRow]) -> list[bytes]:
    return [row.document for row in rows]


def _until_tomorrow() -> float:
    return (DAY_MS - now_ms() % DAY_MS) / 1000


def job_store(redis: Redis, settings: Settings, outbox_rows: OutboxRows, accounts: Accounts) -> RedisJobStore:
    """Where jobs are kept, as the settings ask for it."""
    return RedisJobStore(
        redis,
        settings.redis_prefix,
        settings.public_base_url,
        picture_days=settings.picture_days,
        outbox_rows=outbox_rows,
        accounts=accounts,
    )
