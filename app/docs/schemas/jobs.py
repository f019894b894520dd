"""Jobs, batches, and the pictures that they make."""

from __future__ import annotations

from typing import Any, Final

from app.docs.schemas.envelope import enveloped

_IMAGE: Final = {
    "type": "object",
    "required": ["url", "mimeType", "bytes", "provider", "model", "mode"],
    "properties": {
        "url": {"type": "string"},
        "mimeType": {"type": "string"},
        "bytes": {"type": "integer"},
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "revisedPrompt": {"type": "string"},
        "provider": {"type": "string"},
        "model": {"type": "string"},
        "mode": {"enum": ["generate", "edit"]},
        "usage": {"type": "object"},
        "warnings": {"type": "array", "items": {"type": "object"}},
    },
}
_SECONDS: Final = {"type": "object", "properties": {"p50": {"type": "number"}, "p90": {"type": "number"}}}
_BILLING: Final = {
    "type": "object",
    "required": ["state", "providerCalls"],
    "properties": {
        "state": {"enum": ["none", "billed", "possibly_billed"]},
        "providerCalls": {"type": "integer"},
        "estimatedCost": {"type": "number", "description": "each picture as often as it may be paid for"},
        "actualCost": {"type": "number"},
        "actualCostAtMost": {"type": "number", "description": "instead, while a call is only possibly billed"},
        "currency": {"type": "string"},
    },
}
_JOB: Final = {
    "type": "object",
    "required": ["id", "status", "phase", "version", "urls"],
    "properties": {
        "id": {"type": "string"},
        "status": {"enum": ["queued", "running", "canceling", "succeeded", "failed", "canceled", "expired"]},
        "phase": {"type": "string"},
        "version": {"type": "integer"},
        "queue": {
            "type": "object",
            "required": ["position", "ahead"],
            "properties": {
                "position": {"type": "integer"},
                "ahead": {"type": "integer"},
                "estimatedStartSeconds": _SECONDS,
            },
        },
        "progress": {
            "type": "object",
            "required": ["value", "source"],
            "properties": {
                "value": {"type": "number"},
                "source": {"enum": ["provider", "estimated", "none"]},
                "step": {"type": "integer"},
                "steps": {"type": "integer"},
                "estimatedFinishSeconds": {"type": "number"},
            },
        },
        "result": _IMAGE,
        "error": {"type": "object"},
        "billing": _BILLING,
        "urls": {"type": "object"},
    },
}
_BATCH: Final = {
    "type": "object",
    "required": ["id", "status", "counts", "createdAt", "urls", "items"],
    "properties": {
        "id": {"type": "string"},
        "status": {"enum": ["accepting", "running", "finished", "canceled"]},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        "createdAt": {"type": "string", "format": "date-time"},
        "metadata": {"type": "object"},
        "clientReference": {"type": "string"},
        "urls": {"type": "object"},
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "status"],
                "properties": {
                    "index": {"type": "integer"},
                    "status": {"type": "string"},
                    "jobId": {"type": "string"},
                    "error": {"type": "object"},
                },
            },
        },
    },
}

SCHEMAS: Final[dict[str, Any]] = {
    "image": enveloped(_IMAGE),
    "job": enveloped(_JOB),
    "jobs": enveloped(
        {
            "type": "object",
            "properties": {"jobs": {"type": "array", "items": _JOB}, "cursor": {"type": ["string", "null"]}},
        }
    ),
    "batch": enveloped(_BATCH),
    "batches": enveloped(
        {
            "type": "object",
            "required": ["batches", "cursor"],
            "properties": {
                "batches": {"type": "array", "items": {"type": "object"}},
                "cursor": {"type": ["string", "null"]},
            },
        }
    ),
    "results": {"type": "string", "description": "lines of `{index, status, jobId?, result?, error?}`"},
    "events": enveloped({"type": "array", "items": {"type": "object"}}),
    "progress": {
        "type": "object",
        "description": "one server-sent event; its data is JSON",
        "required": ["event", "data"],
        "properties": {"event": {"enum": ["progress", "completed", "failed"]}, "data": {"type": "string"}},
    },
}
