"""A response as OpenAI tells it, made of what was asked and of its job as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Response

from app.faces.openai.answers import around_base64, usage_json
from app.faces.openai.responses.items import call_json, error_json, message_json
from app.http.base64_answers import Piece, base64_answer
from app.services import AnyRequest
from jobs.model.job import Job, Status
from jobs.model.json import warnings_json

if TYPE_CHECKING:
    from jobs.client.responses import KeptResponse

_STATUS: Final = {
    Status.QUEUED: "queued",
    Status.RUNNING: "in_progress",
    Status.CANCELING: "in_progress",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.CANCELED: "cancelled",
    Status.EXPIRED: "failed",
}
_LATE: Final = {
    "code": "server_error",
    "message": "the deadline passed before the picture was begun; nothing was billed",
}


async def answered(
    request: AnyRequest, kept: KeptResponse, job: Job, headers: dict[str, str] | None = None
) -> Response[Any]:
    """The response as it stands, the base64 of its picture written piece by piece."""
    return await base64_answer(request, job, response_pieces(kept, job), {"X-Job-Id": job.id, **(headers or {})})


def response_pieces(kept: KeptResponse, job: Job, status: str | None = None) -> list[Piece]:
    """The JSON in pieces, with the picture where its base64 belongs; `status`: another one than that of the job."""
    told = response_json(kept, job)
    if status is not None:
        told = {**told, "status": status, "output": []}
    elif job.images and job.status.terminal:
        before, after = around_base64(told, "result")
        return [before, job.images[0], after]
    return [msgspec.json.encode(told)]


def response_json(kept: KeptResponse, job: Job) -> dict[str, Any]:
    """Everything but the base64. `output` stands before whatever a caller may have put in."""
    status = _STATUS[job.status]
    usage = _usage(job)
    return {
        "id": kept.id,
        "object": "response",
        "created_at": kept.created_ms // 1000,
        "status": status if kept.background or status != "queued" else "in_progress",
        "output": output_json(kept, job),
        "completed_at": job.finished_ms // 1000 if job.status is Status.SUCCEEDED and job.finished_ms else None,
        "background": kept.background,
        "error": _error(job),
        "incomplete_details": None,
        "instructions": kept.instructions,
        "model": kept.model,
        "parallel_tool_calls": True,
        "previous_response_id": kept.previous_response_id,
        "store": kept.store,
        "tool_choice": kept.tool_choice,
        "tools": kept.tools,
        "text": {"format": {"type": "text"}},
        "truncation": "disabled",
        "temperature": None,
        "top_p": None,
        "max_output_tokens": None,
        "reasoning": None,
        **kept.echoed,
        "usage": usage,
        "tool_usage": None if usage is None else {"image_gen": usage_json(job)},
        "user": job.request.user,
        "metadata": kept.metadata,
        **({} if kept.agent is None else {"agent_reference": kept.agent}),
        **({"warnings": warnings} if (warnings := _warnings(kept, job)) else {}),
    }


def output_json(kept: KeptResponse, job: Job) -> list[dict[str, Any]]:
    """The call, once it has begun, and the message beside its picture."""
    if not job.attempts and not job.images:
        return []
    call = call_json(kept, job)
    return [call, message_json(job)] if job.images and job.status.terminal else [{**call, "result": None}]


def _error(job: Job) -> dict[str, Any] | None:
    if job.failure is not None:
        return error_json(job.failure)
    return _LATE if job.status is Status.EXPIRED else None


def _warnings(kept: KeptResponse, job: Job) -> list[dict[str, Any]]:
    message = "it is for a text model, and none is configured here"
    ignored = [{"code": "ignored_option", "message": f"{name}: {message}", "field": name} for name in kept.ignored]
    return [*warnings_json(job.warnings), *ignored]


def _usage(job: Job) -> dict[str, Any] | None:
    """All tokens of the response; no text model has taken any. None where the provider does not count."""
    counted = usage_json(job)
    if counted is None:
        return None
    return {
        "input_tokens": counted["input_tokens"],
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": counted["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": counted["total_tokens"],
    }
