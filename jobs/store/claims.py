"""What workers ask of the store: the next job, another lease of their own, and the jobs of those that died."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct

from jobs.ids import new_id
from jobs.model.account import Accounts
from jobs.model.job import Job
from jobs.model.times import now_ms
from jobs.queue import TURN_DOCUMENT
from jobs.redis.connection import translate_redis_errors
from jobs.redis.keys import Keys
from jobs.redis.scripts import Scripts
from jobs.store.documents import SCHEMA, unpack
from jobs.store.durations import PROBE_MS, TURN_START_MS
from jobs.store.rooms import Rooms

if TYPE_CHECKING:
    from redis.asyncio import Redis

_log = structlog.get_logger()

MAX_TRIMMED: Final = 200
"""Entries of indexes that one script looks at, and how many scripts one trim is."""
MAX_TRIMS: Final = 10
MAX_SALVAGES: Final = 20
"""Jobs that one look for late pictures is given."""


class Claim(Struct, frozen=True):
    """A job in a worker's hands: every later write carries the fencing number. `turn` is what claimed it.

    Without `room` for a call at its provider, the job is claimed for what takes none: to go on elsewhere, or, lost by
    a worker that died, to be given what is stored of it.
    """

    job: Job
    fence: int
    turn: str
    room: bool = True
    wake_ms: int | None = None
    """In so many milliseconds this worker is to ask for a turn: others wait for the pace of the job's provider."""
    account: str = ""
    """At which of the provider's accounts the room is."""

    @property
    def name(self) -> str:
        """The claim, told from an earlier one of the same job."""
        return f"{self.job.id}/{self.fence}"


class Paced(Struct, frozen=True):
    """No job may be claimed just now; some wait for their provider's pace."""

    wake_ms: int
    """In so many milliseconds this worker is to ask for a turn."""


class Renewal(Struct, frozen=True):
    """A heartbeat's answer: claims lost (by name), jobs to be canceled, and Redis' clock."""

    now_ms: int
    due_ms: int
    """When the next job comes to its deadline, or the next lease ends."""
    backed_off_ms: int | None
    """When the first job that backs off comes back."""
    lost: frozenset[str]
    canceling: frozenset[str]


class Claims:
    """Jobs in the hands of workers, each of which has a lease; on Redis.

    `accounts`: those of providers that have several, or a limit.

    Raises `ServiceUnavailable` while Redis is out of reach.
    """

    def __init__(self, redis: Redis, prefix: str, accounts: Accounts | None = None) -> None:
        self._redis = redis
        self._keys = Keys(prefix)
        self._scripts = Scripts(redis, prefix, _SCRIPTS)
        self._accounts = dict(accounts or {})
        self.rooms = Rooms(redis, prefix, self._accounts)

    async def claim_next(self, turn: str, worker: str, lease_ms: int, *, begins: bool = True) -> Claim | Paced | None:
        """The next job that is this turn's to run; without one the turn has been given back.

        The job lives as long as the worker, which has another `lease_ms` now. A turn that `begins` is counted for that
        long; then the heartbeat sees to it.
        """
        told = {
            "turn": turn,
            "begins": begins,
            "worker": worker,
            "lease_ms": lease_ms,
            "probe_ms": PROBE_MS,
            "accounts": self._accounts,
            "schema": SCHEMA,
        }
        while True:
            answer = await self._scripts.run("claim_job", told)
            if answer is None:
                return None
            match answer:
                case int(wake_ms):
                    return Paced(wake_ms)
                case [fence, document, room, wake_ms, account]:
                    wake = wake_ms if wake_ms >= 0 else None
                    claim = Claim(unpack(document), fence, turn, bool(room), wake, account.decode())
                    self.rooms.hold(claim)
                    return claim
                case [job_id, schema]:
                    _log.error("job of a newer version left alone", job=job_id.decode(), form=int(schema), reads=SCHEMA)

    async def renew(self, worker: str, lease_ms: int, slots: int, held: Iterable[Claim]) -> Renewal:
        """Keep a worker, its slots, turns and rooms, and so the jobs in its hands alive for another `lease_ms`."""
        claims = list(held)
        told = {
            "worker": worker,
            "lease_ms": lease_ms,
            "slots": slots,
            "claims": [self._told(claim) for claim in claims],
        }
        now, due, backed_off, lost, canceling = await self._scripts.run("renew_leases", told)
        return Renewal(
            now_ms=now,
            due_ms=due,
            backed_off_ms=int(float(backed_off)) if backed_off else None,
            lost=frozenset(claims[place - 1].name for place in lost),
            canceling=frozenset(job_id.decode() for job_id in canceling),
        )

    def _told(self, claim: Claim) -> dict[str, object]:
        return {
            "id": claim.job.id,
            "fence": claim.fence,
            "turn": claim.turn,
            "rooms": self.rooms.of(claim),
        }

    async def end_turns(self, worker: str, turns: Sequence[str]) -> None:
        """Take turns that a worker will not run out of the count."""
        await self._release(worker, turns=turns)

    async def stop(self, worker: str, slots: int, turns: Sequence[str] = ()) -> None:
        """Take a worker and its slots out of the count."""
        await self._release(worker, slots=slots, turns=turns, stops=True)

    async def _release(self, worker: str, *, turns: Sequence[str], slots: int = 0, stops: bool = False) -> None:
        await self._scripts.run("release_slots", {"worker": worker, "slots": slots, "turns": turns, "stops": stops})

    async def reap(self, lease_ms: int) -> list[str]:
        """Put the jobs of workers whose lease ran out back among the ready; answer those past their deadline.

        Nothing is done in the first `lease_ms` of a Redis that has been started again.
        """
        return [job_id.decode() for job_id in await self._scripts.run("reap_leases", {"lease_ms": lease_ms})]

    async def missing_turns(self, limit: int) -> list[str]:
        """Ask for turns that are missing: at most `limit`, no more than there is work and free slots for."""
        offered = [f"{self._keys.prefix}{new_id('turn')}" for _ in range(limit)]
        told = {"turns": offered, "turn_start_ms": TURN_START_MS, "accounts": self._accounts}
        while (missing := await self._scripts.run("missing_turns", told, TURN_DOCUMENT)) is None:
            continue
        return [turn.decode() for turn in missing]

    async def trim(self) -> None:
        """Take what is past its retention out of the indexes of the orgs."""
        for _ in range(MAX_TRIMS):
            if await self._scripts.run("trim_indexes", {"max": MAX_TRIMMED}) < MAX_TRIMMED:
                return

    async def pending_salvage(self) -> list[str]:
        """Jobs that ended with a call open, and whose leases are over: what the call stored is to be looked for."""
        with translate_redis_errors():
            found = await self._redis.zrangebyscore(self._keys.pending_salvage, "-inf", now_ms(), 0, MAX_SALVAGES)
        return [job_id.decode() for job_id in found]

    async def salvage_again(self, job_id: str, at_ms: int | None) -> None:
        """Look for the job's pictures again then; None: never."""
        with translate_redis_errors():
            if at_ms is None:
                await self._redis.zrem(self._keys.pending_salvage, job_id)
            else:
                await self._redis.zadd(self._keys.pending_salvage, {job_id: at_ms}, xx=True)


_SCRIPTS: Final = ("claim_job", "renew_leases", "release_slots", "reap_leases", "missing_turns", "trim_indexes")
