"""Errors as the front end's own routes tell them: `{"error"}`, and at times `details` or `text`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from litestar import Response

from app.faces.image.answers import json_answer

if TYPE_CHECKING:
    from app.http.problems import Refusal

UNAUTHORIZED: Final = "Unauthorized"
NO_KEY: Final = "GEMINI_API_KEY not configured. Please add GEMINI_API_KEY to your .env.local file"
NOTHING: Final = "No image or text generated"
NO_IMAGE: Final = "No image was generated"
FAILED: Final = "Failed to generate image"
NOT_UPLOADED: Final = "Failed to upload file"
_SERVER_ERROR: Final = 500


def image_error(refusal: Refusal) -> Response[bytes]:
    """A refusal of `/api/image`; what failed behind a job is 500, whatever it was."""
    if refusal.reason == "wait_expired":
        told = {name: refusal.details[name] for name in ("jobId", "statusUrl")}
        return json_answer({"error": refusal.message, **told}, refusal.status, refusal.headers)
    if refusal.status >= _SERVER_ERROR or refusal.reason == "content_policy":
        return json_answer(_failure(refusal), _SERVER_ERROR, refusal.headers)
    return _mistake(refusal)


def upload_error(refusal: Refusal) -> Response[bytes]:
    """A refusal of `/api/upload`."""
    if refusal.status >= _SERVER_ERROR:
        return json_answer({"error": NOT_UPLOADED}, _SERVER_ERROR, refusal.headers)
    return _mistake(refusal)


def history_error(refusal: Refusal) -> Response[bytes]:
    """A refusal of `/api/history`, with its own status."""
    return _mistake(refusal)


def _failure(refusal: Refusal) -> dict[str, Any]:
    """Why there is no picture, in the route's own sentences."""
    said = refusal.details.get("text")
    match refusal.reason:
        case "provider_unconfigured":
            return {"error": NO_KEY}
        case "content_policy":
            return {"error": NO_IMAGE, "text": said or refusal.message}
        case "provider_bad_response":
            return {"error": NO_IMAGE, "text": said} if said else {"error": NOTHING}
        case _:
            return {"error": FAILED, "details": refusal.message}


def _mistake(refusal: Refusal) -> Response[bytes]:
    """What is the caller's to mend, with the place of it."""
    field = refusal.details.get("field")
    told = UNAUTHORIZED if refusal.code == "UNAUTHORIZED" else refusal.message
    placed = told if not field or told.startswith(f"{field}:") else f"{field}: {told}"
    return json_answer({"error": _OURS.sub(_renamed, placed)}, refusal.status, refusal.headers)


def _renamed(found: re.Match[str]) -> str:
    return f"images{found[1] or '[0]'}"


_OURS: Final = re.compile(r"\breferenceImages?(\[\d+\])?")
"""Our names for a page's `images`; a single one has no number."""
