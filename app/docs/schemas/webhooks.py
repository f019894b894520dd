"""Webhook endpoints, and what was posted to them."""

from __future__ import annotations

from typing import Any, Final

from app.docs.schemas.envelope import enveloped, listed

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
    "required": ["id", "eventId", "type", "url", "state", "attempts", "createdAt"],
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

SCHEMAS: Final[dict[str, Any]] = {
    "endpoint": enveloped(_ENDPOINT),
    "new_endpoint": enveloped(_NEW_ENDPOINT),
    "endpoints": enveloped(listed("endpoints", _ENDPOINT)),
    "delivery": enveloped(_DELIVERY),
    "deliveries": enveloped(listed("deliveries", _DELIVERY)),
    "ping": enveloped(
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
    "redelivery": enveloped(
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
}
