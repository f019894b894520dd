"""Gemini's `generateContent` for image models."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import re
import secrets
from typing import Any, Final

from litestar import Response, post
from litestar.params import FromPath
from PIL import Image, UnidentifiedImageError

from app.simulator.draw import edit
from app.simulator.imagen import predict
from app.simulator.wire import AnyRequest, answer, bench, pictures, spoilt, unanswered

_SIDES: Final = {
    "1:1": (1024, 1024),
    "2:3": (832, 1248),
    "3:2": (1248, 832),
    "3:4": (864, 1184),
    "4:3": (1184, 864),
    "9:16": (768, 1344),
    "16:9": (1344, 768),
    "21:9": (1536, 672),
}
_CALL: Final = re.compile(r"(?P<model>[A-Za-z0-9._-]+):generateContent")
_STATUSES: Final = {
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@post(["/v1beta/models/{call:str}", "/v1/models/{call:str}"], status_code=200)
async def generate_content(  # noqa: C901, PLR0911  # each refusal is an answer
    request: AnyRequest, call: FromPath[str]
) -> Response[bytes]:
    """Answers one JPEG, as the real models mostly do."""
    found = _CALL.fullmatch(call)
    if request.headers.get("x-goog-api-key", "wrong") == "wrong":
        return _error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")
    if call.endswith(":predict"):
        return await predict(request, call.removesuffix(":predict"), _error)
    if found is None or not re.fullmatch(r"gemini-.*image.*", found["model"]):
        return _error(404, "NOT_FOUND", "models/unknown is not found for API version v1beta.")
    body: dict[str, Any] = await request.json()
    try:
        parts = body["contents"][-1]["parts"]
        prompt = next(p["text"] for p in parts if "text" in p)
        sources = [_inline(p) for p in parts if "inlineData" in p or "inline_data" in p]
        ratio = body.get("generationConfig", {}).get("imageConfig", {}).get("aspectRatio", "1:1")
        size = _SIDES[ratio]
    except (KeyError, IndexError, StopIteration, TypeError, ValueError, UnidentifiedImageError):
        return _error(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")
    desk = bench(request)
    asked = {name: value for name, value in body.items() if name != "contents"}
    written, fault = desk.begin("gemini", found["model"], prompt, request.headers.get("x-client-request-id", ""), asked)
    await desk.take_time(prompt)
    if fault is not None:
        if (early := unanswered(fault)) is not None:
            return early
        if fault.status is not None:
            headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
            return _error(fault.status, _STATUSES[fault.status], "The simulated provider was told to fail.", headers)
        if fault.kind == "refuse":
            return answer(
                {"candidates": [{"finishReason": "IMAGE_SAFETY", "index": 0}], **_tail(found["model"], prompt)}
            )
    if fault is not None and fault.kind == "empty":
        made = []
    elif sources:
        written.inputs = [hashlib.sha256(data).hexdigest() for data in sources]
        made = spoilt(fault) or [await asyncio.to_thread(_edited, sources, size, prompt, written.nonce)]
    else:
        made = spoilt(fault) or await pictures(written, 1, size, "jpeg")
    written.pictures = [hashlib.sha256(p).hexdigest() for p in made]
    out: list[dict[str, Any]] = [{"text": "Here is the picture."}]
    out += [{"inlineData": {"mimeType": "image/jpeg", "data": base64.b64encode(data).decode()}} for data in made]
    candidate = {"content": {"role": "model", "parts": out}, "finishReason": "STOP", "index": 0}
    return answer({"candidates": [candidate], **_tail(found["model"], prompt)})


def _inline(part: dict[str, Any]) -> bytes:
    text: str = (part.get("inlineData") or part["inline_data"])["data"]
    data = base64.b64decode(text, altchars=b"-_" if set(text) & {"-", "_"} else None, validate=True)
    Image.open(io.BytesIO(data)).close()
    return data


def _edited(sources: list[bytes], size: tuple[int, int], prompt: str, nonce: str) -> bytes:
    """The first picture, blended with a new one; the others small along its lower edge."""
    base = Image.open(io.BytesIO(sources[0])).convert("RGB").resize(size)
    side = min(size) // 8
    for place, other in enumerate(sources[1:]):
        base.paste(Image.open(io.BytesIO(other)).convert("RGB").resize((side, side)), (place * side, size[1] - side))
    return edit(base, None, prompt, nonce, "jpeg")


def _tail(model: str, prompt: str) -> dict[str, Any]:
    text = max(1, len(prompt) // 4)
    counts = {"promptTokenCount": text, "candidatesTokenCount": 1290, "totalTokenCount": text + 1290}
    return {"usageMetadata": counts, "modelVersion": model, "responseId": secrets.token_urlsafe(12)}


def _error(status: int, name: str, message: str, headers: dict[str, str] | None = None) -> Response[bytes]:
    return answer({"error": {"code": status, "message": message, "status": name}}, status, headers)


handlers: Final = (generate_content,)
