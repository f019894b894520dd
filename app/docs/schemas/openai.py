"""What the OpenAI face answers with: images, models, and errors."""

from __future__ import annotations

from typing import Any, Final

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

SCHEMAS: Final[dict[str, Any]] = {
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
}
