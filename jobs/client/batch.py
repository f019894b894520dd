"""A batch of jobs: which belong together, in which order, and what came of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from jobs.model.job import Job, Status

PENDING: Final = "pending"
REJECTED: Final = "rejected"
GONE: Final = "gone"
STATUSES: Final = (PENDING, REJECTED, *map(str, Status), GONE)


class ItemError(Struct, frozen=True):
    """Why an item was not accepted; `details.field` is its place in the batch's body."""

    code: str
    message: str
    details: dict[str, Any] = {}


class Item(Struct, frozen=True, omit_defaults=True):
    """One item of a batch and the id that its job has, or would have had."""

    job_id: str
    refused: ItemError | None = None


class Batch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record, written before the first of its jobs. Times are Unix milliseconds."""

    id: str
    org: str
    subject: str
    created_ms: int
    until_ms: int
    items: tuple[Item, ...]
    """In the order of the body."""
    fingerprint: str = ""
    idempotency_key: str | None = None
    metadata: dict[str, str] = {}
    client_reference: str | None = None
    canceled_ms: int | None = None
    """Since then no further job of the batch is created."""


class Row(Struct, frozen=True):
    """An item as it stands. `status` is its job's, or one of `PENDING`, `REJECTED`, `GONE`."""

    index: int
    job_id: str
    status: str
    job: Job | None = None
    refused: ItemError | None = None

    @property
    def live(self) -> bool:
        """Whether its job has not ended."""
        return self.job is not None and not self.job.status.terminal


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """How many items are where. `accepted`: neither rejected nor to come; what is being canceled runs."""
    told = {str(status): 0 for status in STATUSES if status != Status.CANCELING}
    for row in rows:
        told[str(Status.RUNNING) if row.status == Status.CANCELING else row.status] += 1
    return {"total": len(rows), "accepted": len(rows) - told[REJECTED] - told[PENDING], **told}


def status(batch: Batch, rows: Sequence[Row]) -> str:
    """`accepting` until every item has its job or its refusal, `running` until the last has ended."""
    if any(row.status == PENDING for row in rows):
        return "accepting"
    if any(row.live for row in rows):
        return "running"
    return "finished" if batch.canceled_ms is None else "canceled"


def item_status(batch: Batch, index: int, item: Item, job: Job | bool) -> Row:
    """A job that is there counts, whatever else was noted: a write may land although its answer was lost."""
    if isinstance(job, Job):
        return Row(index, item.job_id, str(job.status), job)
    if job:
        return Row(index, item.job_id, GONE)
    if item.refused is not None:
        return Row(index, item.job_id, REJECTED, refused=item.refused)
    return Row(index, item.job_id, PENDING if batch.canceled_ms is None else str(Status.CANCELED))
