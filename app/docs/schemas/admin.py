"""Keys, limits, providers, and the health of the whole."""

from __future__ import annotations

from typing import Any, Final

from app.docs.schemas.envelope import enveloped

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

SCHEMAS: Final[dict[str, Any]] = {
    "key": enveloped(_KEY),
    "new_key": enveloped(_NEW_KEY),
    "keys": enveloped(
        {
            "type": "object",
            "properties": {"keys": {"type": "array", "items": _KEY}, "cursor": {"type": ["string", "null"]}},
        }
    ),
    "limits": enveloped(
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
    "providers": enveloped(
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
                            "running": {"type": "integer", "description": "calls that are open"},
                            "limit": {"type": ["integer", "null"]},
                            "trouble": {
                                "type": "object",
                                "description": "what only the gateway's operator can mend, since its first call",
                                "properties": {
                                    "kind": {"enum": ["account", "credential", "endpoint", "region"]},
                                    "message": {"type": "string"},
                                    "providerStatus": {"type": "integer"},
                                    "since": {"type": "string", "format": "date-time"},
                                },
                            },
                            "rateLimit": {
                                "type": "object",
                                "properties": {
                                    "callsPerSecond": {"type": "number"},
                                    "retryAfterSeconds": {"type": "integer"},
                                },
                            },
                            "accounts": {
                                "type": "array",
                                "description": "each account of a provider with several, in the same words",
                                "items": {"type": "object", "required": ["id", "breaker", "running", "limit"]},
                            },
                        },
                    },
                }
            },
        }
    ),
    "stats": enveloped(
        {
            "type": "object",
            "required": ["ready", "running", "deferred", "turns", "slots", "workers", "oldestReadySeconds", "here"],
            "properties": {"ready": {"type": "integer"}, "running": {"type": "integer"}, "here": {"type": "object"}},
        }
    ),
    "health": {
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": ["ok", "ready", "degraded", "unavailable"]},
            "workers": {"type": "integer", "description": "0 where it is degraded: no worker lives"},
            "reason": {"type": "string"},
        },
    },
}
