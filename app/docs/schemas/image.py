"""What the image face answers with."""

from __future__ import annotations

from typing import Any, Final

_TEXT: Final = {"type": "string"}
_GENERATION: Final = {
    "type": "object",
    "required": ["id", "userId", "prompt", "inputImages", "outputImageUrl", "createdAt"],
    "properties": {
        **dict.fromkeys(("id", "userId", "prompt", "outputImageUrl", "createdAt"), _TEXT),
        "inputImages": {"type": "array", "items": _TEXT},
    },
}

SCHEMAS: Final[dict[str, Any]] = {
    "page_image": {
        "type": "object",
        "required": ["imageBase64", "imageUrl", "text"],
        "properties": {
            "imageBase64": {"type": "string", "description": "a `data:` URL"},
            "imageUrl": _TEXT,
            "text": {"type": ["string", "null"]},
            "warnings": {"type": "array", "items": {"type": "object"}},
        },
    },
    "history": {
        "type": "object",
        "required": ["generations", "cursor"],
        "properties": {
            "generations": {"type": "array", "items": _GENERATION},
            "cursor": {"type": ["string", "null"]},
        },
    },
    "upload": {"type": "object", "required": ["url"], "properties": {"url": _TEXT}},
    "page_error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": _TEXT, "details": _TEXT, "text": _TEXT, "jobId": _TEXT, "statusUrl": _TEXT},
    },
}
