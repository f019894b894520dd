"""The items of a response: those that came in, as they are listed, and those that its job has made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from app.faces.openai.responses.body import Content, ImageTool, Item
from jobs.client.responses import KeptResponse
from jobs.ids import twin
from jobs.model.job import Failure, Job, Status

TOLD_STRAIGHT: Final = "{model} was given the input as it stands: no text model is configured here."
"""What the message says where a text model would have spoken."""
_CODES: Final = {
    "INVALID_INPUT": "invalid_prompt",
    "VALIDATION_ERROR": "invalid_image",
    "RATE_LIMITED": "rate_limit_exceeded",
}


def tool_json(tool: ImageTool) -> dict[str, Any]:
    """The tool as it is said back: without the bytes of its mask."""
    told = {name: value for name in tool.__struct_fields__ if (value := getattr(tool, name)) is not None}
    mask = told.pop("input_image_mask", None)
    return told if mask is None else {**told, "input_image_mask": {"file_id": mask.file_id}}


def items_json(given: str | Sequence[Item]) -> list[dict[str, Any]]:
    """The input as `input_items` lists it, oldest first; pictures that came as bytes are no longer in it."""
    items = [Item(role="user", content=given)] if isinstance(given, str) else given
    return [_item_json(item) for item in items]


def _item_json(item: Item) -> dict[str, Any]:
    if item.type != "message":
        return {"type": item.type, "id": item.id, "status": "completed", "result": None}
    content = [Content(type="input_text", text=item.content)] if isinstance(item.content, str) else item.content or []
    return {"type": "message", "role": item.role, "status": "completed", "content": list(map(_content_json, content))}


def _content_json(part: Content) -> dict[str, Any]:
    if part.type != "input_image":
        return {
            "type": part.type,
            "text": part.text or "",
            **({"annotations": []} if part.type == "output_text" else {}),
        }
    url = part.image_url and part.image_url.content
    shown = url if isinstance(url, str) and url[:5].lower() != "data:" else None
    return {"type": part.type, "detail": part.detail or "auto", "file_id": part.file_id, "image_url": shown}


def call_id(job: Job) -> str:
    """The id of the tool's call: the job's follows from it."""
    return twin(job.id, "ig")


def message_id(job: Job) -> str:
    """The id of the message beside it."""
    return twin(job.id, "msg")


def call_json(kept: KeptResponse, job: Job) -> dict[str, Any]:
    """The call of the tool as it stands; where there is a picture, its `result` is empty, for it is written there."""
    image = job.images[0] if job.images else None
    asked = job.request
    kind = asked.output_format or "png" if image is None else image.media_type.removeprefix("image/")
    told: dict[str, Any] = {
        "type": "image_generation_call",
        "id": call_id(job),
        "status": _call_status(job),
        "result": None if image is None else "",
        "action": kept.action,
        "background": asked.background or "auto",
        "output_format": kind,
        "quality": asked.quality or "auto",
        "size": (image and image.size) or asked.size or "auto",
    }
    if image is not None and image.revised_prompt is not None:
        told["revised_prompt"] = image.revised_prompt
    if job.failure is not None and image is None:
        told["error"] = _call_error(job.failure)
    return told


def message_json(job: Job) -> dict[str, Any]:
    """The message beside the picture: the provider's own words, or that nobody has changed the caller's."""
    part = {"type": "output_text", "text": message_text(job), "annotations": [], "logprobs": []}
    about = {"id": message_id(job), "role": "assistant", "status": "completed"}
    return {"type": "message", **about, "content": [part]}


def message_text(job: Job) -> str:
    """What the message says."""
    return job.text or TOLD_STRAIGHT.format(model=job.request.model)


def error_json(failure: Failure) -> dict[str, Any]:
    """Why a response has failed, by OpenAI's codes."""
    return {"code": _code(failure), "message": failure.message}


def _call_status(job: Job) -> str:
    if job.images and job.status.terminal:
        return "completed"
    if job.status.terminal:
        return "failed"
    return "in_progress" if job.status is Status.QUEUED else "generating"


def _call_error(failure: Failure) -> dict[str, Any]:
    refused = failure.reason == "content_policy"
    return {
        "code": "moderation_blocked" if refused else _code(failure),
        "message": failure.message,
        "param": failure.field,
        "type": "image_generation_user_error" if refused else "image_generation_server_error",
    }


def _code(failure: Failure) -> str:
    if failure.reason == "content_policy":
        return "image_content_policy_violation"
    if failure.reason == "provider_rate_limited":
        return "rate_limit_exceeded"
    return _CODES.get(failure.code, "server_error")
