"""Imagen by `:predict`: up to four pictures a call, or why the filter held them back."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any, Final

from litestar import Response

from app.simulator.wire import AnyRequest, answer, bench, pictures, spoilt, unanswered

_SIDES: Final = {
    "1:1": (1024, 1024),
    "3:4": (896, 1280),
    "4:3": (1280, 896),
    "9:16": (768, 1408),
    "16:9": (1408, 768),
}
_MOST: Final = 4
_STATUSES: Final = {429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
Refuse = Callable[[int, str, str], Response[bytes]]


async def predict(  # noqa: PLR0911  # each refusal is an answer
    request: AnyRequest, model: str, refuse: Refuse
) -> Response[bytes]:
    """Answers PNGs; what the filter holds back has a reason in its place."""
    body: dict[str, Any] = await request.json()
    if not re.fullmatch(r"imagen-.*", model):
        return refuse(404, "NOT_FOUND", f"models/{model} is not found for API version v1beta.")
    try:
        prompt = body["instances"][0]["prompt"]
        parameters = body.get("parameters", {})
        n, size = int(parameters.get("sampleCount", 1)), _SIDES[parameters.get("aspectRatio", "1:1")]
    except (KeyError, IndexError, TypeError, ValueError):
        return refuse(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")
    if not 1 <= n <= _MOST:
        return refuse(400, "INVALID_ARGUMENT", "sampleCount must be between 1 and 4.")
    desk = bench(request)
    call, fault = desk.begin("imagen", model, prompt, request.headers.get("x-client-request-id", ""), parameters)
    await desk.take_time(prompt)
    if fault is not None and (early := unanswered(fault)) is not None:
        return early
    if fault is not None and fault.status is not None:
        return refuse(fault.status, _STATUSES.get(fault.status, "INTERNAL"), "The simulated provider was told to fail.")
    if fault is not None and fault.kind == "refuse":
        return answer({"predictions": [{"raiFilteredReason": "Filtered for its words. Support code: 29310472"}]})
    made = [] if fault is not None and fault.kind == "empty" else spoilt(fault) or await pictures(call, n, size, "png")
    call.pictures = [hashlib.sha256(each).hexdigest() for each in made]
    encoded = [{"mimeType": "image/png", "bytesBase64Encoded": base64.b64encode(each).decode()} for each in made]
    return answer({"predictions": encoded} if encoded else {})
