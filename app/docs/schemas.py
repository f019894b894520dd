"""What the faces answer with, as JSON Schema: the components of `/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

from app.http.problems import STATUS

_METADATA: Final = {"type": "object", "properties": {"success": {"type": "boolean"}, "timestamp": {"type": "integer"}}}
_IMAGE: Final = {
    "type": "object",
    "required": ["url", "mimeType", "bytes", "width", "height", "provider", "model", "mode"],
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
        "billing": {"type": "object"},
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
_KEY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "orgId", "name", "subject", "hint", "status", "scopes", "rateLimits", "metadata", "createdAt"],
    "properties": {
        "id": {"type": "string"},
        "orgId": {"type": "string"},
        "name": {"type": "string"},
        "subject": {"type": "string"},
        "hint": {"type": "string"},
        "status": {"enum": ["active", "expired", "revoked"]},
        "scopes": {"type": "object"},
        "rateLimits": {"type": "object"},
        "metadata": {"type": "object"},
        "createdAt": {"type": "string", "format": "date-time"},
        "expiresAt": {"type": ["string", "null"], "format": "date-time"},
        "lastUsedAt": {"type": ["string", "null"], "format": "date-time"},
    },
}
_NEW_KEY: Final = {
    **_KEY,
    "required": [*_KEY["required"], "key"],
    "properties": {**_KEY["properties"], "key": {"type": "string", "description": "the secret, shown this once"}},
}
_ENDPOINT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "orgId", "url", "events", "include", "status", "createdAt", "updatedAt", "metadata"],
    "properties": {
        "id": {"type": "string"},
        "orgId": {"type": "string"},
        "url": {"type": "string"},
        "events": {"type": "array", "items": {"type": "string"}},
        "include": {"enum": ["full", "thin"]},
        "description": {"type": ["string", "null"]},
        "status": {"enum": ["enabled", "disabled"]},
        "reason": {"type": ["string", "null"]},
        "failingSince": {"type": ["string", "null"], "format": "date-time"},
        "overlapUntil": {"type": ["string", "null"], "format": "date-time"},
        "createdAt": {"type": "string", "format": "date-time"},
        "updatedAt": {"type": "string", "format": "date-time"},
        "metadata": {"type": "object"},
    },
}
_NEW_ENDPOINT: Final = {
    **_ENDPOINT,
    "required": [*_ENDPOINT["required"], "secret"],
    "properties": {**_ENDPOINT["properties"], "secret": {"type": "string", "description": "shown this once"}},
}
_DELIVERY: Final = {
    "type": "object",
    "required": ["id", "eventId", "jobId", "type", "url", "state", "attempts", "createdAt"],
    "properties": {
        "id": {"type": "string"},
        "endpointId": {"type": "string"},
        "eventId": {"type": "string"},
        "jobId": {"type": "string"},
        "type": {"type": "string"},
        "url": {"type": "string"},
        "state": {"enum": ["pending", "delivered", "dead"]},
        "reason": {"type": "string"},
        "attempts": {"type": "integer"},
        "log": {"type": "array", "items": {"type": "object"}},
        "createdAt": {"type": "string", "format": "date-time"},
    },
}


_OPENAI_IMAGE: Final = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("url", "b64_json", "revised_prompt")},
}
_MODEL: Final = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}


def _listed(name: str, item: dict[str, Any]) -> dict[str, Any]:
    listed = {name: {"type": "array", "items": item}, "cursor": {"type": ["string", "null"]}}
    return {"type": "object", "required": list(listed), "properties": listed}


def _enveloped(data: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": ["data", "metadata"], "properties": {"data": data, "metadata": _METADATA}}


SCHEMAS: Final = {
    "image": _enveloped(_IMAGE),
    "job": _enveloped(_JOB),
    "jobs": _enveloped(
        {
            "type": "object",
            "properties": {"jobs": {"type": "array", "items": _JOB}, "cursor": {"type": ["string", "null"]}},
        }
    ),
    "batch": _enveloped(_BATCH),
    "batches": _enveloped(
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
    "events": _enveloped({"type": "array", "items": {"type": "object"}}),
    "progress": {
        "type": "object",
        "description": "one server-sent event; its data is JSON",
        "required": ["event", "data"],
        "properties": {"event": {"enum": ["progress", "completed", "failed"]}, "data": {"type": "string"}},
    },
    "key": _enveloped(_KEY),
    "new_key": _enveloped(_NEW_KEY),
    "keys": _enveloped(
        {
            "type": "object",
            "properties": {"keys": {"type": "array", "items": _KEY}, "cursor": {"type": ["string", "null"]}},
        }
    ),
    "limits": _enveloped(
        {
            "type": "object",
            "required": ["orgId", "limits", "usedToday", "queued", "running"],
            "properties": {
                "orgId": {"type": "string"},
                "limits": {"type": "object"},
                "usedToday": {"type": "object"},
                "keyRateLimits": {"type": ["object", "null"]},
                "keyUsedToday": {"type": ["object", "null"]},
                "queued": {"type": "integer"},
                "running": {"type": "integer"},
            },
        }
    ),
    "providers": _enveloped(
        {
            "type": "object",
            "required": ["providers"],
            "properties": {
                "providers": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["id", "configured", "simulated", "breaker", "running", "limit"],
                        "properties": {
                            "id": {"type": "string"},
                            "configured": {"type": "boolean"},
                            "simulated": {"type": "boolean"},
                            "breaker": {
                                "type": "object",
                                "properties": {"state": {"enum": ["closed", "open", "half_open"]}},
                            },
                            "running": {"type": "integer"},
                            "limit": {"type": ["integer", "null"]},
                        },
                    },
                }
            },
        }
    ),
    "endpoint": _enveloped(_ENDPOINT),
    "new_endpoint": _enveloped(_NEW_ENDPOINT),
    "endpoints": _enveloped(_listed("endpoints", _ENDPOINT)),
    "delivery": _enveloped(_DELIVERY),
    "deliveries": _enveloped(_listed("deliveries", _DELIVERY)),
    "ping": _enveloped(
        {
            "type": "object",
            "required": ["endpointId", "eventId", "delivered", "tookMs"],
            "properties": {
                "delivered": {"type": "boolean"},
                "status": {"type": ["integer", "null"]},
                "tookMs": {"type": "integer"},
                "error": {"type": ["string", "null"]},
                "response": {"type": ["string", "null"]},
            },
        }
    ),
    "redelivery": _enveloped(
        {
            "type": "object",
            "required": ["redelivered"],
            "properties": {"redelivered": {"type": "integer"}, "since": {"type": ["string", "null"]}},
        }
    ),
    "jwks": {
        "type": "object",
        "required": ["keys"],
        "properties": {"keys": {"type": "array", "items": {"type": "object"}}},
    },
    "stats": _enveloped(
        {
            "type": "object",
            "required": ["ready", "running", "deferred", "turns", "slots", "workers", "oldestReadySeconds", "here"],
            "properties": {"ready": {"type": "integer"}, "running": {"type": "integer"}, "here": {"type": "object"}},
        }
    ),
    "images": {
        "type": "object",
        "required": ["created", "data"],
        "properties": {
            "created": {"type": "integer"},
            "data": {"type": "array", "items": _OPENAI_IMAGE},
            "background": {"type": "string"},
            "output_format": {"type": "string"},
            "quality": {"type": "string"},
            "size": {"type": "string"},
            "safety_identifier": {"type": "string"},
            "usage": {"type": "object"},
            "warnings": {"type": "array", "items": {"type": "object"}},
            "job": {"type": "object", "description": "with 202: the job and its addresses"},
        },
    },
    "model": _MODEL,
    "models": {
        "type": "object",
        "required": ["object", "data"],
        "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}},
    },
    "openai_error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
            }
        },
    },
    "health": {"type": "object", "properties": {"status": {"type": "string"}}},
    "error": {
        "type": "object",
        "required": ["error", "metadata"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "details"],
                "properties": {
                    "code": {"enum": list(STATUS)},
                    "message": {"type": "string"},
                    "details": {"type": "object"},
                },
            },
            "metadata": _METADATA,
        },
    },
}
