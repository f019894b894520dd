"""Errors as Open WebUI's back end tells them: `{"detail": …}`, a text or pydantic's list of a body's faults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import MediaType, Response

from app.auth.authenticator import NO_CREDENTIAL
from app.http.problems import Refusal

NOT_AUTHENTICATED: Final = "Not authenticated"
INVALID_TOKEN: Final = "Invalid token"  # noqa: S105  # what is said of one
SESSION_ENDED: Final = "Your session has expired or the token is invalid. Please sign in again."
PROHIBITED: Final = (
    "You do not have permission to access this resource. Please contact your administrator for assistance."
)
NO_API_KEYS: Final = "Use of API key is not enabled in the environment."
NOT_FOUND: Final = "We could not find what you're looking for :/"
NO_SUCH_URL: Final = "Oops! The URL you provided is invalid. Please double-check and try again."
WRONG_FORMAT: Final = "Invalid format. Please use the correct format"
SOMETHING: Final = "Something went wrong :/"

ROLE: Final = "role"
API_KEY: Final = "api_key"
BODY: Final = "body"
FORMAT: Final = "format"
ADDRESS: Final = "address"
"""Reasons of this face's own refusals, each of which it tells in words of its own."""
_TEXTS: Final[Mapping[str | None, str]] = {
    NO_CREDENTIAL: NOT_AUTHENTICATED,
    "token_unreadable": INVALID_TOKEN,
    "token_signature": INVALID_TOKEN,
    "token_type": INVALID_TOKEN,
    ROLE: PROHIBITED,
    API_KEY: NO_API_KEYS,
    ADDRESS: NO_SUCH_URL,
}
_BY_CODE: Final[Mapping[str, str]] = {
    "UNAUTHORIZED": SESSION_ENDED,
    "FORBIDDEN": PROHIBITED,
    "NOT_FOUND": NOT_FOUND,
    "METHOD_NOT_ALLOWED": "Method Not Allowed",
}
_KINDS: Final[Mapping[str | None, tuple[str, str]]] = {
    "missing_field": ("missing", "Field required"),
    "unknown_field": ("extra_forbidden", "Extra inputs are not permitted"),
}
"""pydantic's names and words for what is wrong with a body."""
_BAD_BODY: Final = 422
_BAD_REQUEST: Final = 400
_STEP: Final = re.compile(r"[^.\[\]]+")
_BEYOND: Final = frozenset({"store_unavailable"})
"""What says nothing of a picture: the request may be sent again as it is."""


def openwebui_error(refusal: Refusal) -> Response[bytes]:
    """A refusal in Open WebUI's words. Whatever goes wrong with a picture is 400, so that nothing asks again for it."""
    status, detail = _status(refusal), _detail(refusal)
    content = msgspec.json.encode({"detail": detail})
    return Response(content, status_code=status, headers=refusal.headers, media_type=MediaType.JSON)


def _status(refusal: Refusal) -> int:
    if _of_the_body(refusal):
        return _BAD_BODY
    failed = refusal.code in {"SERVICE_UNAVAILABLE", "JOB_CANCELED", "TIMEOUT"} or (
        refusal.code == "SYSTEM_ERROR" and "jobId" in refusal.details
    )
    return _BAD_REQUEST if failed and refusal.reason not in {*_BEYOND, "wait_expired"} else refusal.status


def _detail(refusal: Refusal) -> Any:
    if _of_the_body(refusal):
        return [_error(refusal)]
    if refusal.reason == FORMAT:
        return f"{WRONG_FORMAT} {refusal.message}"
    text = _TEXTS.get(refusal.reason) or _BY_CODE.get(refusal.code)
    if text is not None:
        return text
    if refusal.code == "SYSTEM_ERROR" and "jobId" not in refusal.details:
        return SOMETHING
    return f"[ERROR: {_told(refusal)}]"


def _told(refusal: Refusal) -> str:
    """The message with its place, and the job by which the picture can be found."""
    field, job_id = refusal.details.get("field"), refusal.details.get("jobId")
    placed = f"{field}: " if field and not refusal.message.startswith(f"{field}:") else ""
    return f"{placed}{refusal.message}{f' (job {job_id})' if job_id else ''}"


def _of_the_body(refusal: Refusal) -> bool:
    return refusal.code in {"INVALID_INPUT", "VALIDATION_ERROR"} and refusal.reason in {BODY, *_KINDS}


def _error(refusal: Refusal) -> dict[str, Any]:
    """One of pydantic's errors; the input itself is not sent back."""
    field = str(refusal.details.get("field", ""))
    kind, text = _KINDS.get(refusal.reason, ("value_error", refusal.message.removeprefix(f"{field}: ")))
    place = [int(step) if step.isdigit() else step for step in _STEP.findall(field)]
    return {"type": kind, "loc": ["body", *place], "msg": text, "input": None}
