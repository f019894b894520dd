"""The images wire of OpenAI and of Azure OpenAI when it streams: blurred pictures on the way, then the picture."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from litestar.response import Stream
from msgspec import Struct

from app.simulator.draw import blurred
from app.simulator.faults import Call, Fault
from app.simulator.wire import CUT_HERE

BREAKS: Final = frozenset({"cut-stream", "end-stream", "error-stream", "refuse-stream"})
"""Faults that break a stream after its first preview."""
SETTLE_SECONDS: Final = 0.2
"""A reset may overtake what was sent before it: so long the preview is given to arrive."""


class Film(Struct, frozen=True, kw_only=True):
    """A picture that is to be streamed. `kind`: `image_generation` or `image_edit`; `seconds`: in all."""

    kind: str
    call: Call
    fault: Fault | None
    picture: bytes
    fields: dict[str, Any]
    usage: dict[str, Any]
    seconds: float


def stream(film: Film, headers: dict[str, str]) -> Stream:
    """The answer, event by event."""
    return Stream(_events(film), status_code=200, headers=headers, media_type="text/event-stream")


async def _events(film: Film) -> AsyncIterator[bytes]:
    broken = film.fault is not None and film.fault.kind in BREAKS
    previews = int(film.fields.get("partial_images", 0))
    pause = film.seconds / (previews + 1)
    for place in range(min(1, previews) if broken else previews):
        await asyncio.sleep(pause)
        made = await asyncio.to_thread(blurred, film.picture, place, _form(film))
        yield _event(f"{film.kind}.partial_image", {**_shown(film, made), "partial_image_index": place})
    await asyncio.sleep(pause)
    if broken:
        async for last in _break(film):
            yield last
        return
    sent = b"" if film.fault is not None and film.fault.kind == "empty" else film.picture
    film.call.pictures = [hashlib.sha256(sent).hexdigest()] if sent else []
    yield _event(f"{film.kind}.completed", {**_shown(film, sent), "usage": film.usage})


async def _break(film: Film) -> AsyncIterator[bytes]:
    match film.fault and film.fault.kind:
        case "cut-stream":
            await asyncio.sleep(SETTLE_SECONDS)
            yield CUT_HERE
        case "error-stream":
            yield _error("server_error", "server_error", "The simulated provider was told to fail.")
        case "refuse-stream":
            message = "Your request was rejected as a result of our safety system."
            yield _error("image_generation_user_error", "moderation_blocked", message)


def _error(kind: str, code: str, message: str) -> bytes:
    return _event("error", {"error": {"type": kind, "code": code, "message": message, "param": None}})


def _shown(film: Film, picture: bytes) -> dict[str, Any]:
    return {
        "b64_json": base64.b64encode(picture).decode(),
        "background": film.fields.get("background", "opaque"),
        "created_at": int(time.time()),
        "output_format": _form(film),
        "quality": film.fields.get("quality", "high"),
        "size": film.fields.get("size", "1024x1024"),
    }


def _form(film: Film) -> str:
    return str(film.fields.get("output_format", "png"))


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()
