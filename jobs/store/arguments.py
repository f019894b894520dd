"""What the scripts of the job store are told of a job; each reads it by these names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from jobs.model import fallback, ledger
from jobs.model.account import Account
from jobs.model.job import Job, Status
from jobs.model.json import present
from jobs.model.moves import Changed, record_ms
from jobs.model.times import moment
from jobs.redis.fields import RoomNeed
from jobs.store.documents import SCHEMA
from jobs.store.durations import (
    ADOPT_MS,
    AGES_MS,
    DAY_MS,
    DELIVERY_MS,
    HEAD_START_MS,
    TOLD_MS,
    TOMB_MS,
    TURN_START_MS,
    USED_MS,
)
from jobs.store.outcomes import Key

Arguments = dict[str, Any]


class OutboxRow(Struct, frozen=True, kw_only=True):
    """A webhook delivery that is written with a move: the queue in which it waits, and its document."""

    id: str
    queue: str
    created_ms: int
    document: bytes


def create_job(
    job: Job, rows: Sequence[OutboxRow], turn: str, accounts: Sequence[Account] | None, *, waited: bool
) -> Arguments:
    """Of `create_job.lua`, save `idempotency` and `adoption`. `accounts`: the provider's, where it has several."""
    return present(
        accounts=accounts and [account.name for account in accounts],
        **_write(job, rows),
        score=job.created_ms + AGES_MS[job.options.priority] - (HEAD_START_MS if waited else 0),
        max_ahead=job.options.max_queue_position,
        images=job.request.n,
        cost=job.used_cost,
        keep_use_ms=USED_MS,
        turn=turn,
        turn_start_ms=TURN_START_MS,
    )


def idempotency(job: Job, key: Key, name: str) -> Arguments:
    """The key, called `name` in Redis, and what it is to say. It is kept as long as the job is known to be gone."""
    keep_ms = job.cancel_at_ms - job.created_ms + record_ms(job) + TOMB_MS
    return {"key": name, "claim": f"{job.id} {key.fingerprint}", "keep_ms": keep_ms}


def adoption(undelivered: str, wait_ms: int) -> Arguments:
    """An earlier job in `undelivered` may be given instead; this one's caller waits `wait_ms`."""
    return {"undelivered": undelivered, "wait_ms": wait_ms, "keep_ms": ADOPT_MS, "answer_ms": TOLD_MS}


def commit_move(
    before: Job, changed: Changed, rows: Sequence[OutboxRow], fence: int | None, picture_days: int | None
) -> Arguments:
    """Of `commit_move.lua`. `seen` is the version that the first of the moves was made on."""
    job, last_before = changed.job, changed.made_on(before)
    return present(
        **_write(job, rows),
        seen=before.version,
        fence=fence,
        status=job.status,
        images=job.used_images - before.used_images,
        cost=job.used_cost - before.used_cost,
        not_before_ms=job.not_before_ms,
        expires_ms=job.expires_ms or 0,
        keep_tombstone_ms=TOMB_MS,
        frees_room=ledger.frees_room(last_before, job),
        salvageable=job.status.terminal and bool(ledger.open_rows(last_before)),
        events=[each.job.version for each in (*changed.earlier, changed) if each.event is not None],
        expiring_blobs=[{"name": name, "at_ms": at_ms} for name, at_ms in _expiring(job, picture_days)],
    )


def erase_job(job: Job) -> Arguments:
    """Of `erase_job.lua`."""
    return present(
        **_owned(job),
        seen=job.version,
        images=job.chargeable - job.used_images,
        cost=job.chargeable_cost - job.used_cost,
        keep_tombstone_ms=TOMB_MS,
    )


def _owned(job: Job) -> Arguments:
    return {"id": job.id, "org": job.org, "subject": job.subject, "api_key": job.key_id, "day": _day(job)}


def _write(job: Job, rows: Sequence[OutboxRow]) -> Arguments:
    return {
        **_owned(job),
        "version": job.version,
        "schema": SCHEMA,
        "provider": job.request.provider,
        "deadline_ms": job.deadline_ms,
        "expected_seconds": job.expected_seconds,
        "room_need": _room_need(job),
        "deliveries": [{"id": r.id, "queue": r.queue, "created_ms": r.created_ms} for r in rows],
        "keep_deliveries_ms": DELIVERY_MS,
    }


def _room_need(job: Job) -> RoomNeed:
    if job.status is not Status.QUEUED:
        return RoomNeed.ROOM
    if ledger.open_rows(job):
        return RoomNeed.NONE
    return RoomNeed.ROOM_OR_ELSEWHERE if fallback.allowed(job) else RoomNeed.ROOM


def _day(job: Job) -> str:
    """The day (UTC) on whose quota a job counts: that of its acceptance."""
    return moment(job.created_ms)[:10]


def _expiring(job: Job, picture_days: int | None) -> list[tuple[str, int]]:
    """Blobs that expire with a job's end, and when: inputs, and pictures by retention."""
    if not job.status.terminal:
        return []
    end = job.expires_ms or 0
    inputs = end if job.options.store_inputs else job.updated_ms
    doomed = [(name, inputs) for name in job.request.staged]
    if job.options.expires_after is not None:
        doomed += [(image.blob, end) for image in job.images]
    elif picture_days is not None:
        at = (job.finished_ms or 0) + picture_days * DAY_MS
        doomed += [(image.blob, at) for image in job.images]
    return doomed
