"""A job's events as they lie in Redis: each says what may have changed; the rest is read in the record."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jobs.model.job import Event, Job
from jobs.model.json import job_json
from jobs.store.packing import squeeze, unsqueeze

LASTING: Final = frozenset({
    "object",
    "id",
    "orgId",
    "face",
    "createdAt",
    "deadline",
    "metadata",
    "clientReference",
    "idempotencyKey",
    "batchId",
    "webhook",
    "urls",
    "requestId",
    "traceId",
})  # fmt: skip
"""Fields of a job's JSON that no move changes."""


def pack_event(event: Event) -> bytes:
    """The event without what its job says anyway."""
    changing = {name: value for name, value in event.data.items() if name not in LASTING}
    return squeeze(msgspec.json.encode({"id": event.id, "type": event.type, "data": changing}))


def unpack_events(job: Job, documents: list[bytes], base_url: str) -> list[dict[str, Any]]:
    """Events of the job as callers read them."""
    lasting = {name: value for name, value in job_json(job, base_url, with_request=False).items() if name in LASTING}
    return [_unpack(msgspec.json.decode(unsqueeze(document)), lasting) for document in documents]


def _unpack(kept: dict[str, Any], lasting: dict[str, Any]) -> dict[str, Any]:
    data = lasting | kept["data"]
    return {
        "id": kept["id"],
        "type": kept["type"],
        "timestamp": data["updatedAt"],
        "sequence": data["version"],
        "jobId": lasting["id"],
        "data": data,
    }
