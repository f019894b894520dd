"""Errors as OpenAI tells them: `{"error": {"message", "type", "param", "code"}}`, and what its SDKs make of headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import MediaType, Response
from msgspec.structs import replace

from app.http.problems import Refusal

INVALID: Final = "invalid_request_error"
SERVER: Final = "server_error"
_BY_REASON: Final[Mapping[str | None, tuple[int, str, str]]] = {
    "content_policy": (400, INVALID, "content_policy_violation"),
    "model_not_found": (404, INVALID, "model_not_found"),
    "missing_field": (400, INVALID, "missing_required_parameter"),
    "unknown_field": (400, INVALID, "unknown_parameter"),
}
_BY_CODE: Final[Mapping[str, tuple[str, str]]] = {
    "INVALID_INPUT": (INVALID, "invalid_value"),
    "VALIDATION_ERROR": (INVALID, "invalid_image_file"),
    "UNAUTHORIZED": (INVALID, "invalid_api_key"),
    "FORBIDDEN": ("insufficient_permissions", "permission_denied"),
    "NOT_FOUND": (INVALID, "not_found"),
    "METHOD_NOT_ALLOWED": (INVALID, "method_not_allowed"),
    "NOT_ACCEPTABLE": (INVALID, "not_acceptable"),
    "JOB_CANCELED": (INVALID, "job_canceled"),
    "GONE": (INVALID, "gone"),
    "PAYLOAD_TOO_LARGE": (INVALID, "payload_too_large"),
    "UNSUPPORTED_MEDIA_TYPE": (INVALID, "unsupported_media_type"),
    "IDEMPOTENCY_KEY_REUSED": (INVALID, "idempotency_key_reused"),
    "RATE_LIMITED": ("requests", "rate_limit_exceeded"),
    "QUEUE_FULL": ("requests", "queue_full"),
    "QUOTA_EXCEEDED": ("insufficient_quota", "insufficient_quota"),
    "TOO_MANY_STREAMS": ("requests", "too_many_streams"),
    "SYSTEM_ERROR": (SERVER, "server_error"),
    "SERVICE_UNAVAILABLE": (SERVER, "service_unavailable"),
    "TIMEOUT": (SERVER, "timeout"),
}
_NAMES: Final[Mapping[str, str]] = {
    "outputFormat": "output_format",
    "outputCompression": "output_compression",
    "partialImages": "partial_images",
    "inputFidelity": "input_fidelity",
    "safetyIdentifier": "safety_identifier",
    "referenceImages": "image",
    "referenceImage": "image",
    "fileId": "file_id",
}
"""Our names for what OpenAI calls otherwise."""
_OURS: Final = re.compile(rf"\b({'|'.join(_NAMES)})\b")
_ADDRESS: Final = re.compile(r"\b(image(?:\[\d+\])?|mask)\.url\b")
_CONTENT: Final = re.compile(r"\b(content\[\d+\]|input_image_mask)\.url\b")
BOUGHT: Final = 424
"""Failed Dependency (RFC 4918 section 11.4), for a job that may have been paid for: no SDK tries again after it."""
_RETRIED: Final = frozenset({408, 409, 429})
_SERVER_ERRORS: Final = 500
_NO_RETRY: Final = {"x-should-retry": "false"}
"""The SDKs ask again by themselves on 408, 409, 429 and 5xx; OpenAI's own unless told not to, others in any case."""


def openai_error(refusal: Refusal) -> Response[bytes]:
    """A refusal in OpenAI's words. What failed behind a job is not to be asked again unasked: that could buy again."""
    status = _BY_REASON[refusal.reason][0] if refusal.reason in _BY_REASON else refusal.status
    if _would_buy_again(refusal, status):
        named = f"{refusal.message} (job {refusal.details['jobId']})"
        refusal, status = replace(refusal, message=named), BOUGHT
    headers = dict(refusal.headers)
    if "jobId" in refusal.details or refusal.code == "QUOTA_EXCEEDED":
        headers |= _NO_RETRY
    if "Retry-After" in headers and refusal.retry_after is not None:
        headers["retry-after-ms"] = str(max(1, round(refusal.retry_after * 1000)))
    error = error_json(refusal.code, refusal.message, refusal.reason, refusal.details)
    content = msgspec.json.encode({"error": error})
    return Response(content, status_code=status, headers=headers, media_type=MediaType.JSON)


def _would_buy_again(refusal: Refusal, status: int) -> bool:
    """Whether an SDK would answer the status with the same POST, though its job may be paid for, or was canceled.

    Of a wait that ended first the job goes on, and the same POST joins it.
    """
    unwanted = refusal.code == "JOB_CANCELED" or not refusal.details.get("safeToRetry")
    behind = "jobId" in refusal.details and refusal.reason != "wait_expired"
    return behind and unwanted and (status in _RETRIED or status >= _SERVER_ERRORS)


def error_json(code: str, message: str, reason: str | None, details: Mapping[str, Any]) -> dict[str, Any]:
    """What stands under `error`, in an answer or in a stream."""
    field = details.get("field")
    kind, own = _BY_REASON[reason][1:] if reason in _BY_REASON else _BY_CODE[code]
    if code == "FORBIDDEN" and "scope" in details:
        own, message = "capability_required", f"{message}: the key needs the capability `images`"
    place = None if field is None else renamed(str(field))
    text = renamed(message)
    if place is not None and not text.startswith(f"{place}:"):
        text = f"{place}: {text}"
    return {"message": text, "type": kind, "param": place, "code": own}


def renamed(text: str) -> str:
    """The text with OpenAI's names for ours."""
    told = _CONTENT.sub(r"\1.image_url", _OURS.sub(lambda found: _NAMES[found[1]], text))
    return _ADDRESS.sub(r"\1", told).replace("send it as b64", "send its bytes")
