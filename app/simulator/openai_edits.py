"""The images wire of OpenAI and of Azure OpenAI: edits, in multipart, with masks that are really applied."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
from typing import Any, Final

from litestar import Response, post
from litestar.datastructures import UploadFile
from litestar.params import FromPath
from litestar.response import Stream
from PIL import Image, UnidentifiedImageError

from app.simulator.draw import edit
from app.simulator.openai_images import (
    GPT_FIELDS,
    SIZE,
    Refusal,
    azure_refusal,
    check,
    check_choice,
    openai_refusal,
    played,
)
from app.simulator.wire import AnyRequest, answer

SINCE: Final = "2025-04-01"
"""The first of Azure's dated API versions that has edits."""
MAX_IMAGES: Final = 16
_TEXT: Final = GPT_FIELDS | {"input_fidelity"}
_IMAGE_PARTS: Final = frozenset({"image", "image[]"})
_MEDIA_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/webp"})
_NUMBERS: Final = frozenset({"n", "output_compression", "partial_images"})


@post("/openai/deployments/{model:str}/images/edits", status_code=200)
async def azure_edits(request: AnyRequest, model: FromPath[str]) -> Response[bytes] | Stream:
    """Azure's deployment path; an API version from before edits does not know it."""
    if (refusal := azure_refusal(request, model)) is not None:
        return refusal
    version = request.query_params["api-version"]
    if re.match(r"\d{4}-\d{2}-\d{2}", version) and version < SINCE:
        return answer({"error": {"code": "404", "message": "Resource not found"}}, 404)
    return await _edit(request, "azure-openai", model)


@post(["/v1/images/edits", "/openai/v1/images/edits"], status_code=200)
async def edits(request: AnyRequest) -> Response[bytes] | Stream:
    """OpenAI's path, and Azure's newer one of the same shape."""
    model = str((await request.form()).get("model", "dall-e-2"))
    return openai_refusal(request, model) or await _edit(request, "openai", model)


async def _edit(request: AnyRequest, wire: str, model: str) -> Response[bytes] | Stream:
    form = [(name, value) for name, value in (await request.form()).multi_items() if name != "model"]
    fields: dict[str, Any] = {n: _value(n, v) for n, v in form if not isinstance(v, UploadFile)}

    async def make(call: Any, n: int, form_name: str) -> list[bytes]:
        sources = [await _file(value) for name, value in form if name in _IMAGE_PARTS]
        masks = [await _file(value) for name, value in form if name == "mask"]
        call.inputs = [hashlib.sha256(data).hexdigest() for data in sources]
        call.mask = hashlib.sha256(masks[0]).hexdigest() if masks else None
        originals, mask = [_opened(data, "image") for data in sources], _opened(masks[0], "mask") if masks else None
        return [
            await asyncio.to_thread(_drawn, originals, mask, fields, f"{int(call.nonce, 16) + i:016x}", form_name)
            for i in range(n)
        ]

    def fit() -> None:
        if model.startswith("dall-e-3"):
            raise Refusal(400, "invalid_value", "The model 'dall-e-3' does not support edits.", "model")
        names = [name for name, _ in form]
        images = sum(name in _IMAGE_PARTS for name in names)
        if not images:
            raise Refusal(400, "missing_required_parameter", "Missing required parameter: 'image'.", "image")
        if images > MAX_IMAGES or ("image" in names and images > 1):
            raise Refusal(400, "invalid_value", "Invalid number of images.", "image")
        for name, value in form:
            _check_part(name, value)
        check(model, {k: v for k, v in fields.items() if k != "input_fidelity"})
        check_choice(fields, "input_fidelity", ("low", "high"))

    return await played(request, wire, model, fields, fit, make)


def _value(name: str, text: str) -> Any:
    """A form's text as the value that it stands for."""
    if name in _NUMBERS:
        return int(text)
    return text == "true" if name == "stream" else text


def _check_part(name: str, value: object) -> None:
    if isinstance(value, UploadFile):
        if name not in _IMAGE_PARTS | {"mask"}:
            raise Refusal(400, "unknown_parameter", f"Unknown parameter: '{name}'.", name)
        if value.content_type not in _MEDIA_TYPES:
            message = f"Invalid file '{name}': unsupported mimetype ('{value.content_type}')."
            raise Refusal(400, "unsupported_file_mimetype", message, name)
    elif name not in _TEXT:
        raise Refusal(400, "unknown_parameter", f"Unknown parameter: '{name}'.", name)


async def _file(value: object) -> bytes:
    if not isinstance(value, UploadFile):
        raise Refusal(400, "invalid_value", "Expected a file.", "image")
    await value.seek(0)
    return await value.read()


def _opened(data: bytes, param: str) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
    except (UnidentifiedImageError, OSError):
        raise Refusal(400, "invalid_image_file", "Invalid image file.", param) from None
    return picture


def _drawn(
    originals: list[Image.Image], mask: Image.Image | None, fields: dict[str, Any], nonce: str, form: str
) -> bytes:
    """The first picture edited; the others small along its lower edge, so that it can be seen that they came."""
    base = originals[0].convert("RGBA")
    if mask is not None:
        if "A" not in mask.convert("RGBA" if mask.has_transparency_data else "RGB").getbands():
            raise Refusal(400, "invalid_image_file", "The mask must have an alpha channel.", "mask")
        if mask.size != base.size:
            raise Refusal(400, "invalid_image_file", "The mask must have the image's dimensions.", "mask")
    found = SIZE.fullmatch(str(fields.get("size", "auto")))
    size = (int(found[1]), int(found[2])) if found else base.size
    base = base.resize(size, Image.Resampling.NEAREST)
    cut = None if mask is None else mask.convert("RGBA").resize(size, Image.Resampling.NEAREST)
    side = max(1, min(size) // 8)
    for place, other in enumerate(originals[1:]):
        base.paste(other.convert("RGB").resize((side, side)), (place * side, size[1] - side))
    return edit(base, cut, str(fields["prompt"]), nonce, form)


handlers: Final = (azure_edits, edits)
