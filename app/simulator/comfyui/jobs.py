"""`/api/jobs`: runs as things with a state, which 0.3.64 does not know; without `/api` there is no such route."""

from __future__ import annotations

import uuid
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from app.simulator.comfyui.answers import body, nothing, plain, server
from app.simulator.comfyui.queue import ComfyQueue, Ended, Entry
from app.simulator.wire import AnyRequest, answer

STATUSES: Final = ("pending", "in_progress", "completed", "failed", "cancelled")
_ENDS: Final = {
    "execution_success": "completed",
    "execution_error": "failed",
    "execution_interrupted": "cancelled",
}
_NOT_ALLOWED: Final = "405: Method Not Allowed"


@get("/api/jobs")
async def listed(request: AnyRequest) -> Response[bytes]:
    """The newest first; `status` is a list with commas, `limit` and `offset` take a part."""
    if server(request).old:
        return nothing(404)
    wanted = request.query_params
    statuses = [each for each in wanted.get("status", "").split(",") if each]
    if unknown := [each for each in statuses if each not in STATUSES]:
        words = f"Invalid status value(s): {', '.join(unknown)}. Valid values: {', '.join(STATUSES)}"
        return answer({"error": words}, 400)
    jobs = [job for job in _all(server(request).queue) if not statuses or job["status"] in statuses]
    jobs.sort(key=lambda job: job["create_time"], reverse=wanted.get("sort_order", "desc") == "desc")
    offset, limit = int(wanted.get("offset", 0)), int(wanted["limit"]) if "limit" in wanted else None
    end = len(jobs) if limit is None else offset + limit
    pages = {"offset": offset, "limit": limit, "total": len(jobs), "has_more": end < len(jobs)}
    return answer({"jobs": jobs[offset:end], "pagination": pages})


@get("/api/jobs/{prompt_id:str}")
async def one(request: AnyRequest, prompt_id: FromPath[str]) -> Response[bytes]:
    """With all that is known of it."""
    comfy = server(request)
    if comfy.old:
        return nothing(404)
    if (ended := comfy.queue.history.get(prompt_id)) is not None:
        entry = ended.entry
        workflow = {"prompt": entry.graph, "extra_data": entry.extra}
        told = {"outputs": ended.outputs, "execution_status": ended.status(), "workflow": workflow}
        return answer({**_ended(ended), **told})
    found = next((job for job in _all(comfy.queue) if job["id"] == prompt_id), None)
    return answer({"error": "Job not found"}, 404) if found is None else answer(found)


@post("/api/jobs/{prompt_id:str}/cancel", status_code=200)
async def cancel(request: AnyRequest, prompt_id: FromPath[str]) -> Response[bytes]:
    """That one, pending or running, and no other."""
    comfy = server(request)
    return plain(_NOT_ALLOWED, 405) if comfy.old else answer({"cancelled": comfy.queue.cancel(prompt_id)})


@post("/api/jobs/cancel", status_code=200)
async def cancel_all(request: AnyRequest) -> Response[bytes]:
    """Those that are named."""
    comfy = server(request)
    if comfy.old:
        return plain(_NOT_ALLOWED, 405)
    try:
        asked = await body(request)
    except ValueError:
        return answer({"error": "Request body must be valid JSON"}, 400)
    if invalid := [each for each in asked.get("job_ids", []) if not _is_id(each)]:
        return answer({"error": "job_ids contains invalid id(s)", "invalid_ids": invalid}, 400)
    canceled = [comfy.queue.cancel(each) for each in asked.get("job_ids", [])]
    return answer({"cancelled": any(canceled)})


@post("/jobs/{prompt_id:str}/cancel", status_code=405)
async def no_cancel(prompt_id: FromPath[str]) -> Response[bytes]:  # noqa: ARG001  # it is part of the path
    """Of all routes these alone are not there without `/api`."""
    return plain(_NOT_ALLOWED, 405)


def _all(queue: ComfyQueue) -> list[dict[str, Any]]:
    running = [] if queue.running is None else [_waiting(queue.running, "in_progress")]
    pending = [_waiting(entry, "pending") for entry in queue.pending]
    return [*pending, *running, *(_ended(ended) for ended in reversed(queue.history.values()))]


def _waiting(entry: Entry, status: str) -> dict[str, Any]:
    told = {"id": entry.prompt_id, "status": status, "priority": entry.number}
    return {**told, "create_time": entry.extra["create_time"], **_counts(0)}


def _ended(ended: Ended) -> dict[str, Any]:
    entry = ended.entry
    found = [
        {**image, "nodeId": node, "mediaType": "images"}
        for node, output in ended.outputs.items()
        for image in output.get("images", [])
    ]
    shown = next((each for each in found if each["type"] == "output"), next(iter(found), None))
    failed = {"execution_error": ended.messages[-1][1]} if ended.end == "execution_error" else {}
    return {
        "id": entry.prompt_id,
        "status": _ENDS[ended.end],
        "priority": entry.number,
        "create_time": entry.extra["create_time"],
        "execution_start_time": ended.messages[0][1]["timestamp"],
        "execution_end_time": ended.messages[-1][1]["timestamp"],
        **failed,
        **_counts(len(found)),
        **({"preview_output": shown} if shown else {}),
    }


def _counts(outputs: int) -> dict[str, int]:
    return {"outputs_count": outputs, "previewable_outputs_count": outputs}


def _is_id(value: Any) -> bool:
    try:
        uuid.UUID(value)
    except (ValueError, AttributeError, TypeError):
        return False
    return True


handlers: Final = (listed, one, cancel, cancel_all, no_cancel)
