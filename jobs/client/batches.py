"""Many jobs asked for at once: accepted, completed after a crash, read and canceled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from jobs.client.batch import PENDING, Batch, Item, ItemError, Row, item_status
from jobs.client.erase import CANCEL_SECONDS
from jobs.client.submission import Submission
from jobs.errors import DarkroomError, Gone, IdempotencyKeyReused, NotFound, ProviderUnconfigured, ServiceUnavailable
from jobs.ids import new_id
from jobs.model.job import Job
from jobs.model.moves import RECORD_DAYS
from jobs.model.times import now_ms
from jobs.store.durations import DAY_MS, TOMB_MS
from jobs.store.outcomes import CircuitOpen
from jobs.store.records import Records

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.client.client import Jobs
    from jobs.client.erase import Eraser
    from jobs.client.submit import Submitter

MAX_CONCURRENT_ITEMS: Final = 20
"""Items that are checked, created or canceled side by side."""
MAX_KEPT_MS: Final = TOMB_MS - DAY_MS
"""A batch is forgotten before the ids of its erased jobs are: what is gone is never taken for what is to come."""
A = TypeVar("A")
B = TypeVar("B")


class BatchSubmission(Struct, frozen=True, kw_only=True):
    """What a caller asks at once; of an item that cannot even be asked, why. `atomic`: all of it or nothing."""

    org: str
    subject: str
    submissions: Sequence[Submission | DarkroomError]
    fingerprint: str
    """Equal bodies have equal ones."""
    atomic: bool = False
    idempotency_key: str | None = None
    metadata: dict[str, str] = {}
    client_reference: str | None = None


class Batches:
    """The batches of every org. Raises only `errors.DarkroomError`."""

    def __init__(self, redis: Redis, prefix: str, *, jobs: Jobs, submitter: Submitter, eraser: Eraser) -> None:
        self._jobs = jobs
        self._submitter = submitter
        self._eraser = eraser
        self._records = Records(redis, prefix, "batch", Batch, _names, lambda batch: batch.until_ms)

    async def submit(self, batch_submission: BatchSubmission) -> tuple[Batch, bool]:
        """Accept what can be accepted; True: the idempotency key was known, and what was missing has been completed.

        Raises the first item's error when the batch is atomic; nothing is created then.
        """
        batch = _planned(batch_submission)
        names = _names(batch)
        known = await self._records.named(*names) if names else None
        if known is None:
            prepared, refused = await self._prepare(batch, batch_submission, range(len(batch_submission.submissions)))
            if batch_submission.atomic and refused:
                await self._discard(prepared)
                raise refused[min(refused)]
            batch = _marked(batch, refused)
            known = await self._records.add(batch)
            if known is None:
                return await self._enter(batch, prepared, {}), False
            await self._discard(prepared)
        return await self._again(known, batch_submission), True

    async def get(self, org: str, batch_id: str) -> Batch:
        """One batch of the org. Raises `NotFound`."""
        return _found(await self._records.get(org, batch_id))

    async def page(self, org: str, after: str | None, limit: int) -> tuple[list[Batch], str | None]:
        """The org's batches, newest first, and the id to go on from (None at the end)."""
        return await self._records.page(org, after, limit)

    async def rows(self, batch: Batch, start: int = 0, stop: int | None = None) -> list[Row]:
        """Items as they stand, in the order of the body, read in one round trip."""
        items = batch.items[start:stop]
        jobs = await self._jobs.many(batch.org, [item.job_id for item in items])
        return [item_status(batch, start + i, item, job) for i, (item, job) in enumerate(zip(items, jobs, strict=True))]

    async def cancel(self, org: str, batch_id: str, *, by: str) -> Batch:
        """End every job that lives, and create none of those to come; a batch that has ended stays as it is."""
        batch = await self.get(org, batch_id)
        rows = await self.rows(batch)
        if any(row.live or row.status == PENDING for row in rows):
            now = now_ms()
            batch = _found(
                await self._records.update(org, batch_id, lambda b: replace(b, canceled_ms=b.canceled_ms or now))
            )
            await self._cancel_jobs(batch, by)
        return batch

    async def _again(self, batch_id: str, batch_submission: BatchSubmission) -> Batch:
        batch = await self._records.find(batch_id)
        if batch is None:
            raise Gone("the batch of this idempotency key is past its retention", batchId=batch_id)
        if batch.fingerprint != batch_submission.fingerprint:
            raise IdempotencyKeyReused("this idempotency key was used for another batch", batchId=batch_id)
        missing = [row.index for row in await self.rows(batch) if row.status == PENDING]
        return await self._enter(batch, *await self._prepare(batch, batch_submission, missing))

    async def _prepare(
        self, batch: Batch, batch_submission: BatchSubmission, indexes: Sequence[int]
    ) -> tuple[dict[int, Job], dict[int, DarkroomError]]:
        """The jobs of these items, and what is wrong with the others; nothing is created yet."""
        prepared: dict[int, Job] = {}
        refused: dict[int, DarkroomError] = {}

        async def one(index: int) -> None:
            submission = batch_submission.submissions[index]
            try:
                if isinstance(submission, DarkroomError):
                    raise submission
                named = replace(submission, batch_id=batch.id, job_id=batch.items[index].job_id)
                prepared[index] = await self._submitter.prepare(named)
            except DarkroomError as error:
                refused[index] = _of_item(index, error)

        try:
            for part in _parts(indexes):
                await _all(one, part)
        except DarkroomError:
            await self._discard(prepared)
            raise
        return prepared, refused

    async def _enter(self, batch: Batch, prepared: dict[int, Job], refused: dict[int, DarkroomError]) -> Batch:
        """Create the prepared jobs, as long as nobody cancels the batch, and note what was refused."""

        async def one(index: int) -> None:
            try:
                await self._submitter.enter(prepared[index])
            except DarkroomError as error:
                refused[index] = _of_item(index, error)

        for part in _parts(list(prepared)):
            try:
                now = await self._records.find(batch.id)
                if now is not None and now.canceled_ms is not None:
                    await self._discard({index: prepared[index] for index in part})
                    continue
                await _all(one, part)
            except DarkroomError as error:
                error.details["batchId"] = batch.id  # what there is of it can be looked at, completed and canceled
                raise
        if refused:
            now = await self._records.update(batch.org, batch.id, lambda b: _marked(b, refused))
        else:
            now = await self._records.find(batch.id)
        if now is not None and now.canceled_ms is not None:
            await self._cancel_jobs(now, batch.subject)
        return now or batch

    async def _cancel_jobs(self, batch: Batch, by: str) -> None:
        async def one(row: Row) -> None:
            with contextlib.suppress(NotFound, Gone):
                await self._eraser.cancel(batch.org, row.job_id, by=by)

        for part in _parts([row for row in await self.rows(batch) if row.live]):
            await _all(one, part)

        async def ended(row: Row) -> None:
            with contextlib.suppress(NotFound, Gone):
                await self._jobs.wait(batch.org, row.job_id, CANCEL_SECONDS)

        await _all(ended, [row for row in await self.rows(batch) if row.live])

    async def _discard(self, prepared: Mapping[int, Job]) -> None:
        for job in prepared.values():
            await self._submitter.discard(job)


def _planned(batch_submission: BatchSubmission) -> Batch:
    now = now_ms()
    submissions = [submission for submission in batch_submission.submissions if isinstance(submission, Submission)]
    seconds = [a.options.cancel_after + (a.options.expires_after or RECORD_DAYS * 86_400) for a in submissions]
    return Batch(
        id=new_id("bat"),
        org=batch_submission.org,
        subject=batch_submission.subject,
        created_ms=now,
        until_ms=now + min(max(seconds, default=86_400) * 1000, MAX_KEPT_MS),
        items=tuple(Item(new_id("job")) for _ in batch_submission.submissions),
        fingerprint=batch_submission.fingerprint,
        idempotency_key=batch_submission.idempotency_key,
        metadata=batch_submission.metadata,
        client_reference=batch_submission.client_reference,
    )


def _names(batch: Batch) -> dict[str, int | None]:
    if batch.idempotency_key is None:
        return {}
    name = f"{batch.org}:{len(batch.subject)}:{batch.subject}:{batch.idempotency_key}"
    return {name: batch.until_ms + TOMB_MS}  # it outlives the record: who asks again is told that it is gone


def _marked(batch: Batch, refused: Mapping[int, DarkroomError]) -> Batch:
    def marked(index: int, item: Item) -> Item:
        error = refused.get(index)
        if error is None:
            return item
        told = {"retryable": error.retryable, "safeToRetry": True, **error.details}  # there is no job of it
        return Item(item.job_id, ItemError(error.code, error.message, told))

    return replace(batch, items=tuple(marked(i, item) for i, item in enumerate(batch.items)))


def _of_item(index: int, error: DarkroomError) -> DarkroomError:
    """An item's own error, by its place in the body. Raises again what concerns all of them.

    One item's provider may be away, or not configured, while that of the others is there.
    """
    away = isinstance(error, ServiceUnavailable) and not isinstance(error, ProviderUnconfigured | CircuitOpen)
    if away or error.code == DarkroomError.code:
        raise error
    field = error.details.get("field")
    error.details["field"] = f"items[{index}].{field}" if field else f"items[{index}]"
    return error


def _found(batch: Batch | None) -> Batch:
    if batch is None:
        raise NotFound("no such batch")
    return batch


def _parts(values: Sequence[A]) -> list[Sequence[A]]:
    return [values[at : at + MAX_CONCURRENT_ITEMS] for at in range(0, len(values), MAX_CONCURRENT_ITEMS)]


async def _all(work: Callable[[A], Awaitable[B]], values: Sequence[A]) -> None:
    """Do it for each, side by side, each to its end; then raise what came first."""
    for came in await asyncio.gather(*(work(value) for value in values), return_exceptions=True):
        if isinstance(came, BaseException):
            raise came
