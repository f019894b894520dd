"""The batches face: `/api/v1/batches`, up to 500 jobs asked for at once, and their results in the order asked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import Struct
from msgspec.structs import replace

from app.auth.caller import READ, WRITE
from app.faces.jobs.body import NewJob, NewWebhook, new_submission
from app.http.base64_fields import Base64Text
from app.http.caller import known_caller
from app.http.fields import known_fields, meant, without_nulls
from app.http.job_headers import client_reference, idempotency_key, options_from_headers
from app.http.json_body import read_json
from app.http.problems import answer, request_id
from app.http.query import known_id, only_query, page
from app.services import AnyRequest, services
from jobs.client.batch import REJECTED, counts, status
from jobs.client.batches import BatchSubmission
from jobs.errors import DarkroomError, InvalidInput, InvalidPicture, PayloadTooLarge
from jobs.model.choices import Priority
from jobs.model.json import failure_json, result_json
from jobs.model.metadata import checked_metadata
from jobs.model.times import moment

if TYPE_CHECKING:
    from app.auth.caller import Caller
    from jobs.client.batch import Batch, Row
    from jobs.client.batches import Batches
    from jobs.client.submission import Submission
    from jobs.model.job import Options

PATH: Final = "/api/v1/batches"
MAX_ITEMS: Final = 500
MAX_SPREAD_BYTES: Final = 16 * 1024 * 1024
"""Of what holds for every item, as JSON, times the items."""
MAX_READ_ITEMS: Final = 100
NDJSON: Final = "application/x-ndjson"
EXAMPLE: Final = {
    "defaults": {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "size": "16:9"},
    "items": [{"prompt": "A lighthouse at dusk"}, {"prompt": "A lighthouse at dawn", "size": "1:1"}],
    "metadata": {"project": "atlas"},
}


class NewBatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """The body. `defaults` are merged under each item, field by field; `priority` and `webhook` under both."""

    items: list[NewJob]
    defaults: dict[str, Any] = {}
    atomic: bool = False
    priority: str | None = None
    webhook: NewWebhook | None = None
    metadata: dict[str, str] = {}
    client_reference: str | None = None


@post(
    PATH,
    status_code=202,
    opt={"body": NewBatch, "example": EXAMPLE, "result": "batch", "also": {200: "the batch of this idempotency key"}},
)
async def create_batch(request: AnyRequest) -> Response[bytes]:
    """Ask for many pictures at once: 202 with the batch, each item with its job's id or with what is wrong with it.

    An item that cannot be accepted costs nothing and leaves the others alone; with `atomic` it refuses all of them.
    Items are of low priority unless they say otherwise. Send an `Idempotency-Key`: repeated, it completes what a
    crash left undone and buys nothing twice.
    """
    caller = await known_caller(request, WRITE)
    only_query(request)
    options = options_from_headers(request)
    if "x-job-priority" not in request.headers:
        options = replace(options, priority=Priority.LOW)
    key = idempotency_key(request)
    body = await read_json(request, NewBatch, reshape=_spread)
    batch_submission = await asyncio.to_thread(_batch_submission, caller, body, options, request_id(request), key)
    batch, replayed = await services(request).batches.submit(batch_submission)
    headers = {"Idempotency-Replayed": "true"} if replayed else {"Location": _urls(request, batch)["self"]}
    return await _answer(request, batch, 200 if replayed else 202, headers)


@get(PATH, opt={"result": "batches", "query": {"limit": "at most 100", "cursor": "from the page before"}})
async def list_batches(request: AnyRequest) -> Response[bytes]:
    """The org's batches, newest first, without what became of their items."""
    caller = await known_caller(request, READ)
    query = only_query(request, frozenset({"limit", "cursor"}))
    found, after = await services(request).batches.page(caller.org, *page(query, "bat"))
    shown = [{**_about(request, batch), "counts": {"total": len(batch.items)}} for batch in found]
    return answer({"object": "list", "batches": shown, "cursor": after})


@get(f"{PATH}/{{batch_id:str}}", opt={"result": "batch"})
async def get_batch(request: AnyRequest, batch_id: FromPath[str]) -> Response[bytes]:
    """The batch as it stands, with every item in the order asked."""
    caller = await known_caller(request, READ, looks=True)
    only_query(request)
    batch = await services(request).batches.get(caller.org, _known_id(batch_id))
    return await _answer(request, batch, 200, {})


@get(
    f"{PATH}/{{batch_id:str}}/results",
    opt={"result": "results", "media_type": NDJSON},
)
async def get_results(request: AnyRequest, batch_id: FromPath[str]) -> Stream:
    """One line of JSON an item, in the order asked: its status, and its `result` or `error` once there is one."""
    caller = await known_caller(request, READ, looks=True)
    only_query(request)
    batches = services(request).batches
    batch = await batches.get(caller.org, _known_id(batch_id))
    first = await batches.rows(batch, 0, MAX_READ_ITEMS)  # what keeps us from reading is told by a status
    return Stream(_lines(batches, batch, first), status_code=200, media_type=NDJSON)


@post(f"{PATH}/{{batch_id:str}}/cancel", status_code=200, opt={"result": "batch", "also": {202: "not all have ended"}})
async def cancel_batch(request: AnyRequest, batch_id: FromPath[str]) -> Response[bytes]:
    """Cancel every job that has not ended: 200 with the batch when all of them have, 202 while some have not."""
    caller = await known_caller(request, WRITE)
    only_query(request)
    batch = await services(request).batches.cancel(caller.org, _known_id(batch_id), by=caller.subject)
    return await _answer(request, batch, 200, {}, unfinished=202)


async def _lines(batches: Batches, batch: Batch, rows: list[Row]) -> AsyncIterator[bytes]:
    for start in range(0, len(batch.items), MAX_READ_ITEMS):
        if start:
            rows = await batches.rows(batch, start, start + MAX_READ_ITEMS)
        yield b"".join(msgspec.json.encode(_line(row)) + b"\n" for row in rows)


def _line(row: Row) -> dict[str, Any]:
    line = _item(row)
    if row.job is not None and (result := result_json(row.job)) is not None:
        line["result"] = result
    return line


def _item(row: Row) -> dict[str, Any]:
    item: dict[str, Any] = {"index": row.index, "status": row.status}
    if row.status != REJECTED:
        item["jobId"] = row.job_id
    if row.refused is not None:
        item["error"] = row.refused
    if row.job is not None and row.job.failure is not None:
        item["error"] = failure_json(row.job.failure, row.job)
    return item


async def _answer(
    request: AnyRequest, batch: Batch, code: int, headers: dict[str, str], unfinished: int | None = None
) -> Response[bytes]:
    rows = await services(request).batches.rows(batch)
    stands = status(batch, rows)
    if stands in {"accepting", "running"}:
        code, headers = unfinished or code, {"Retry-After": "2", **headers}
    items = [_item(row) for row in rows]
    data = {**_about(request, batch), "status": stands, "counts": counts(rows), "items": items}
    return answer(data, code, headers)


def _about(request: AnyRequest, batch: Batch) -> dict[str, Any]:
    told = {
        "object": "image.batch",
        "id": batch.id,
        "orgId": batch.org,
        "createdAt": moment(batch.created_ms),
        "expiresAt": moment(batch.until_ms),
        "canceledAt": moment(batch.canceled_ms),
        "metadata": batch.metadata or None,
        "clientReference": batch.client_reference,
        "idempotencyKey": batch.idempotency_key,
        "urls": _urls(request, batch),
    }
    return {name: value for name, value in told.items() if value is not None}


def _urls(request: AnyRequest, batch: Batch) -> dict[str, str]:
    own = f"{services(request).settings.public_base_url}{PATH}/{batch.id}"
    return {"self": own, "results": f"{own}/results", "cancel": f"{own}/cancel"}


def _spread(fields: dict[str, Any]) -> dict[str, Any]:
    """The body with what holds for every item put under each of them; null says nothing."""
    fields = without_nulls(fields, NewBatch)
    items, defaults = fields.get("items"), fields.get("defaults", {})
    if not isinstance(items, list) or not isinstance(defaults, dict):
        return fields
    if not 1 <= len(items) <= MAX_ITEMS:
        raise InvalidInput(f"must be 1 to {MAX_ITEMS}", field="items")
    for name, value in defaults.items():
        if name not in known_fields(NewJob):
            message = f"is no field here{meant(name, known_fields(NewJob))}"
            raise InvalidInput(message, field=f"defaults.{name[:64]}", reason="unknown_field")
        if name in _PICTURES and any(isinstance(v, dict) and "b64" in v for v in (value, *_listed(value))):
            raise InvalidPicture("must be given by url: it is stored once for each item", field=f"defaults.{name}")
    defaults = {name: value for name, value in defaults.items() if value is not None}
    common = {name: fields[name] for name in ("priority", "webhook") if name in fields} | defaults
    if len(msgspec.json.encode(common)) * len(items) > MAX_SPREAD_BYTES:
        message = f"may have at most {MAX_SPREAD_BYTES // len(items)} bytes for so many items: each job keeps its own"
        raise PayloadTooLarge(message, field="defaults", limit=MAX_SPREAD_BYTES // len(items))
    merged = [common | _said(item) if isinstance(item, dict) else item for item in items]
    return {**{name: value for name, value in fields.items() if name != "items"}, "items": merged}


def _said(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value is not None}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _batch_submission(
    caller: Caller, body: NewBatch, options: Options, request: str, key: str | None
) -> BatchSubmission:
    """What the body asks. Its pictures are decoded here: run it in a thread."""

    def asked(item: NewJob) -> Submission | DarkroomError:
        try:
            return new_submission(caller, item, options, request)
        except DarkroomError as error:
            return error

    return BatchSubmission(
        org=caller.org,
        subject=caller.subject,
        metadata=checked_metadata(body.metadata),
        client_reference=client_reference(body.client_reference, "clientReference"),
        submissions=[asked(item) for item in body.items],
        fingerprint=_fingerprint(body, options),
        atomic=body.atomic,
        idempotency_key=key,
    )


def _fingerprint(body: NewBatch, options: Options) -> str:
    def digest(picture: Any) -> str:
        if not isinstance(picture, Base64Text):
            raise NotImplementedError(type(picture))
        content = picture.content
        return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()

    canonical = msgspec.json.encode((body, options), enc_hook=digest, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()


def _known_id(batch_id: str) -> str:
    return known_id(batch_id, "bat", "batch")


_PICTURES: Final = frozenset({"referenceImage", "referenceImages", "mask"})

handlers: Final = (create_batch, list_batches, get_batch, get_results, cancel_batch)
