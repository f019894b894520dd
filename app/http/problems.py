"""Errors as HTTP: one table from code to status, and the shape in which a face tells them."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog
from litestar import MediaType, Response
from litestar.exceptions import HTTPException
from litestar.status_codes import HTTP_401_UNAUTHORIZED, HTTP_429_TOO_MANY_REQUESTS, HTTP_500_INTERNAL_SERVER_ERROR
from msgspec import Struct
from msgspec.structs import replace

from app.http.accept import asks_for
from app.services import AnyRequest, services
from jobs.errors import (
    DarkroomError,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    StoreUnavailable,
    UnsupportedMediaType,
)
from jobs.ids import new_id
from jobs.model.job import Failure

STATUS: Final = {
    "INVALID_INPUT": 400,
    "VALIDATION_ERROR": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "NOT_ACCEPTABLE": 406,
    "JOB_CANCELED": 409,
    "GONE": 410,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "RATE_LIMITED": 429,
    "QUEUE_FULL": 429,
    "QUOTA_EXCEEDED": 429,
    "TOO_MANY_STREAMS": 429,
    "SYSTEM_ERROR": 500,
    "SERVICE_UNAVAILABLE": 503,
    "TIMEOUT": 504,
}
"""The status of each code."""
NOTHING_HERE: Final = "there is nothing at this path: what there is stands in /docs"
PROBLEM_JSON: Final = "application/problem+json"

_log = structlog.get_logger()


class Refusal(Struct, frozen=True, kw_only=True):
    """What went wrong, before it has the shape of a face. `reason` is among the `details`, too."""

    code: str
    message: str
    reason: str | None = None
    details: dict[str, Any] = {}
    retry_after: float | None = None
    """In seconds."""

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return STATUS[self.code]

    @property
    def headers(self) -> dict[str, str]:
        """Those that hold in every shape."""
        headers = {}
        if self.retry_after is not None or self.status == HTTP_429_TOO_MANY_REQUESTS:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after or 1)))
        if self.status == HTTP_401_UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if "jobId" in self.details:
            headers["X-Job-Id"] = str(self.details["jobId"])
        return headers


Shape = Callable[[Refusal], Response[bytes]]
"""How a face tells a refusal; `Services.shapes` has them by path: one that ends with a slash is for all below it."""


def envelope(data: Any) -> dict[str, Any]:
    """`data` with the metadata of a success; the time is in Unix seconds."""
    return {"data": data, "metadata": {"success": True, "timestamp": int(time.time())}}


def answer(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """`data` in its envelope."""
    content = msgspec.json.encode(envelope(data))
    return Response(content, status_code=status, headers=headers or {}, media_type=MediaType.JSON)


def failure_response(request: AnyRequest, failure: Failure, details: dict[str, Any]) -> Response[bytes]:
    """What went wrong with a job, as the answer of a synchronous call."""
    refusal = Refusal(
        code=failure.code,
        message=failure.message,
        reason=failure.reason,
        details=details,
        retry_after=failure.retry_after,
    )
    return _response(request, refusal)


def on_darkroom_error(request: AnyRequest, error: DarkroomError) -> Response[bytes]:
    """One of our own errors: its message is fit to be read."""
    told = {
        "retryable": error.retryable,
        "safeToRetry": _is_safe(request, in_doubt=isinstance(error, StoreUnavailable)),
    }
    refusal = Refusal(
        code=error.code,
        message=error.message,
        reason=error.reason,
        details={**told, **error.details},
        retry_after=error.retry_after,
    )
    return _response(request, refusal)


def on_http_error(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """The framework's own refusals, in our words."""
    match error.status_code:
        case 404:
            return on_darkroom_error(request, NotFound(NOTHING_HERE))
        case 405:
            refused = on_darkroom_error(request, MethodNotAllowed(f"this path does not take {request.method}"))
            refused.headers.update({"Allow": (error.headers or {}).get("allow", "")})
            return refused
        case 413:
            return on_darkroom_error(request, PayloadTooLarge("the body is too large"))
        case 415:
            return on_darkroom_error(request, UnsupportedMediaType("send application/json"))
        case status if status < HTTP_500_INTERNAL_SERVER_ERROR:
            return on_darkroom_error(request, InvalidInput("the request cannot be read"))
        case _:
            return on_unexpected(request, error)


def on_unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Our own fault: the caller gets the request id, the log the rest."""
    _log.error("request failed", path=request.url.path, exc_info=error)
    message = f"something failed on our side; request {request_id(request)}"
    told = {"retryable": False, "safeToRetry": _is_safe(request, in_doubt=True)}
    return _response(request, Refusal(code="SYSTEM_ERROR", message=message, details=told))


def remember_job(request: AnyRequest, job_id: str) -> None:
    """From here on a job is behind the request: whatever goes wrong, its answer names it."""
    request.scope.setdefault("state", {})["job_id"] = job_id


def request_id(request: AnyRequest) -> str:
    """The id that the request has in every log line and answer."""
    return id_of(request.scope)


def id_of(scope: Any) -> str:
    """A request's id: the caller's own, when it is a sound one, or a new one."""
    state: dict[str, str] = scope.setdefault("state", {})
    if "request_id" not in state:
        sent = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"x-request-id"), "")
        state["request_id"] = sent if _REQUEST_ID.fullmatch(sent) else new_id("req")
    return state["request_id"]


_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,128}")


def _is_safe(request: AnyRequest, *, in_doubt: bool) -> bool:
    """Whether the same request once more can make no second job; `in_doubt`: this one may have made one."""
    harmless = request.method == "GET" or "idempotency-key" in request.headers
    return harmless or not (in_doubt or _job_behind(request))


def _job_behind(request: AnyRequest) -> str | None:
    found: str | None = request.scope.get("state", {}).get("job_id")
    return found


def _response(request: AnyRequest, refusal: Refusal) -> Response[bytes]:
    job_id = _job_behind(request)
    if job_id is not None:
        refusal = replace(refusal, details={"jobId": job_id, **refusal.details})
    if refusal.reason == "model_not_found":
        refusal = replace(refusal, message=f"{refusal.message}: those that there are stand in /v1/models")
    path = request.scope["path"]
    for place, shape in services(request).shapes:
        if path == place or (place.endswith("/") and path.startswith(place)):
            return shape(refusal)
    return _problem(refusal) if asks_for(request, PROBLEM_JSON) else _enveloped(refusal)


def _enveloped(refusal: Refusal) -> Response[bytes]:
    body = {
        "error": {"code": refusal.code, "message": _placed(refusal), "details": refusal.details},
        "metadata": {"success": False, "timestamp": int(time.time())},
    }
    return _json(body, refusal, MediaType.JSON)


def _problem(refusal: Refusal) -> Response[bytes]:
    """RFC 9457."""
    told = {"status": refusal.status, "detail": _placed(refusal), "code": refusal.code}
    return _json({"type": "about:blank", "title": refusal.code, **told, **refusal.details}, refusal, PROBLEM_JSON)


def _placed(refusal: Refusal) -> str:
    """The message with the place before it."""
    field = refusal.details.get("field")
    here = not field or refusal.message.startswith(f"{field}:")
    return refusal.message if here else f"{field}: {refusal.message}"


def _json(body: dict[str, Any], refusal: Refusal, media_type: str) -> Response[bytes]:
    content = msgspec.json.encode(body)
    return Response(content, status_code=refusal.status, headers=refusal.headers, media_type=media_type)
