"""The envelope of our own answers, errors, and pages of a list."""

from __future__ import annotations

from typing import Any, Final

from app.http.problems import STATUS

_METADATA: Final = {"type": "object", "properties": {"success": {"type": "boolean"}, "timestamp": {"type": "integer"}}}


def enveloped(data: dict[str, Any]) -> dict[str, Any]:
    """The answer whose `data` has this schema."""
    return {"type": "object", "required": ["data", "metadata"], "properties": {"data": data, "metadata": _METADATA}}


def listed(name: str, item: dict[str, Any]) -> dict[str, Any]:
    """A page of a list: the items under `name`, and the cursor of the page after it."""
    fields = {name: {"type": "array", "items": item}, "cursor": {"type": ["string", "null"]}}
    return {"type": "object", "required": list(fields), "properties": fields}


SCHEMAS: Final[dict[str, Any]] = {
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
