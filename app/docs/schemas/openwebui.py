"""What the Open WebUI face answers with: files, models, its configuration, and errors."""

from __future__ import annotations

from typing import Any, Final

_TEXT: Final = {"type": "string"}

SCHEMAS: Final[dict[str, Any]] = {
    "openwebui_images": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["id", "url", "name", "content_type"],
            "properties": {
                **dict.fromkeys(("id", "url", "name", "content_type"), _TEXT),
                "warnings": {"type": "array", "items": {"type": "object"}},
            },
        },
    },
    "openwebui_models": {
        "type": "array",
        "items": {"type": "object", "required": ["id", "name"], "properties": {"id": _TEXT, "name": _TEXT}},
    },
    "openwebui_file": {
        "type": "object",
        "required": ["id", "user_id", "hash", "filename", "data", "meta", "created_at", "updated_at"],
        "properties": {
            **dict.fromkeys(("id", "user_id", "hash", "filename"), _TEXT),
            "data": {"type": "object"},
            "meta": {"type": "object", "description": "`name`, `content_type`, `size`, `file_hash`, `data`"},
            "created_at": {"type": "integer"},
            "updated_at": {"type": "integer"},
        },
    },
    "openwebui_content": {"type": "string", "format": "binary"},
    "openwebui_message": {"type": "object", "required": ["message"], "properties": {"message": _TEXT}},
    "openwebui_config": {"type": "object", "description": "Open WebUI's `ImagesConfig`, its secrets masked"},
    "openwebui_true": {"const": True},
    "openwebui_error": {
        "type": "object",
        "required": ["detail"],
        "properties": {"detail": {"type": ["string", "array"], "description": "of a body: pydantic's list"}},
    },
}
