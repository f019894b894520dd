"""The images wire of OpenAI and of Azure OpenAI: generations, refused where the real ones refuse."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar import Response, post
from litestar.params import FromPath
from litestar.response import Stream

from app.simulator.faults import Call, Fault
from app.simulator.openai_stream import BREAKS, Film, stream
from app.simulator.wire import AnyRequest, answer, bench, pictures, spoilt, unanswered

MODELS: Final = re.compile(r"(chatgpt-image|gpt-image|dall-e)-[a-z0-9.-]+")
SIZE: Final = re.compile(r"(\d{2,4})x(\d{2,4})")
GPT_FIELDS: Final = frozenset(
    {
        "model", "prompt", "n", "size", "quality", "background", "output_format", "output_compression",
        "moderation", "user", "safety_identifier", "stream", "partial_images",
    }
)  # fmt: skip
_STREAMED_FAULTS: Final = BREAKS | {"garbage", "torn", "other-format", "empty"}
_DALLE_FIELDS: Final = frozenset({"model", "prompt", "n", "size", "quality", "style", "response_format", "user"})
_DALLE_SIZES: Final = {
    "dall-e-3": ("1024x1024", "1792x1024", "1024x1792"),
    "dall-e-2": ("256x256", "512x512", "1024x1024"),
}


class Refusal(Exception):
    """An answered error in OpenAI's shape."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        kind = "invalid_request_error" if status < 500 else "server_error"
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code, **more}}


@post("/openai/deployments/{model:str}/images/generations", status_code=200)
async def azure_generations(request: AnyRequest, model: FromPath[str]) -> Response[bytes] | Stream:
    """Azure's deployment path: `api-key` (or a bearer) and `api-version` are required."""
    return azure_refusal(request, model) or await _generate(request, "azure-openai", model)


@post(["/v1/images/generations", "/openai/v1/images/generations"], status_code=200)
async def generations(request: AnyRequest) -> Response[bytes] | Stream:
    """OpenAI's path, and Azure's newer one of the same shape: a bearer is required."""
    model = str((await request.json()).get("model", "dall-e-2"))
    return openai_refusal(request, model) or await _generate(request, "openai", model)


def azure_refusal(request: AnyRequest, model: str) -> Response[bytes] | None:
    """What Azure says before it looks at the body."""
    if "api-version" not in request.query_params:
        return answer({"error": {"code": "404", "message": "Resource not found"}}, 404)
    if not (request.headers.get("api-key") or request.headers.get("authorization")):
        return answer({"error": {"code": "401", "message": "Access denied due to invalid subscription key."}}, 401)
    if not MODELS.fullmatch(model):
        message = "The API deployment for this resource does not exist."
        return answer({"error": {"code": "DeploymentNotFound", "message": message}}, 404)
    return None


def openai_refusal(request: AnyRequest, model: str) -> Response[bytes] | None:
    """What OpenAI says of a key or a model that it does not know."""
    key = request.headers.get("authorization", "").removeprefix("Bearer ") or request.headers.get("api-key", "")
    if not key or key == "wrong":
        return answer(Refusal(401, "invalid_api_key", "Incorrect API key provided.").body, 401)
    if not MODELS.fullmatch(model):
        return answer(Refusal(404, "model_not_found", f"The model '{model}' does not exist.", "model").body, 404)
    return None


async def played(  # noqa: PLR0913, PLR0917  # one call, and what differs between the two kinds
    request: AnyRequest,
    wire: str,
    model: str,
    fields: dict[str, Any],
    fit: Callable[[], None],
    make: Callable[[Call, int, str], Awaitable[list[bytes]]],
) -> Response[bytes] | Stream:
    """One call from its check to its answer: written down, delayed, failed as the prompt asks, or drawn by `make`."""
    desk = bench(request)
    prompt = str(fields.get("prompt", ""))
    headers = {"x-request-id": f"req_{secrets.token_hex(8)}"}
    if wire == "azure-openai":
        headers["apim-request-id"] = headers["x-request-id"]
    try:
        fit()
        asked = {name: value for name, value in fields.items() if name != "prompt"}
        call, fault = desk.begin(wire, model, prompt, request.headers.get("x-client-request-id", ""), asked)
        streams = fields.get("stream") is True and (fault is None or fault.kind in _STREAMED_FAULTS)
        if not streams:
            await desk.take_time(prompt)
        if fault is not None:
            if (early := unanswered(fault)) is not None:
                return early
            _refuse(fault, wire, headers)
        made = spoilt(fault) or await make(call, int(fields.get("n", 1)), _form(fields, fault))
        if streams:
            film = Film(
                kind="image_edit" if request.url.path.endswith("/edits") else "image_generation",
                call=call,
                fault=fault,
                picture=made[0],
                fields=fields,
                usage=_usage(prompt, 1, int(fields.get("partial_images", 0))),
                seconds=desk.seconds(prompt),
            )
            return stream(film, headers)
        call.pictures = [hashlib.sha256(p).hexdigest() for p in made]
    except Refusal as refusal:
        return answer(refusal.body, refusal.status, headers)
    if fault is not None and fault.kind == "empty":
        made = []
    return answer(images_body(model, made, prompt), 200, headers)


async def _generate(request: AnyRequest, wire: str, model: str) -> Response[bytes] | Stream:
    fields: dict[str, Any] = await request.json()
    fields.pop("model", None)

    async def make(call: Call, n: int, form: str) -> list[bytes]:
        return await pictures(call, n, _measures(fields.get("size", "auto")), form)

    return await played(request, wire, model, fields, lambda: check(model, fields), make)


def check(model: str, fields: dict[str, Any]) -> None:
    """Refuse what the real one refuses."""
    dalle = model.startswith("dall-e")
    for name in fields.keys() - (_DALLE_FIELDS if dalle else GPT_FIELDS) - {"model"}:
        raise Refusal(400, "unknown_parameter", f"Unknown parameter: '{name}'.", name)
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise Refusal(400, "missing_required_parameter", "Missing required parameter: 'prompt'.", "prompt")
    n = fields.get("n", 1)
    if not isinstance(n, int) or not 1 <= n <= (1 if model == "dall-e-3" else 10):
        raise Refusal(400, "invalid_value", "Invalid 'n'.", "n")
    check_choice(fields, "quality", ("standard", "hd") if dalle else ("low", "medium", "high", "xhigh", "max", "auto"))
    check_choice(fields, "style", ("vivid", "natural"))
    check_choice(fields, "background", ("auto", "opaque", "transparent"))
    check_choice(fields, "output_format", ("png", "jpeg", "webp"))
    check_choice(fields, "moderation", ("auto", "low"))
    _check_stream(fields, n)
    _check_size(model, fields.get("size"))


def _form(fields: dict[str, Any], fault: Fault | None) -> str:
    asked = str(fields.get("output_format", "png"))
    if fault is None or fault.kind != "other-format":
        return asked
    return "jpeg" if asked == "png" else "png"


def _check_stream(fields: dict[str, Any], n: int) -> None:
    streams = fields.get("stream") is True
    if streams and n != 1:
        raise Refusal(400, "invalid_value", "Streaming is only supported with n=1.", "n")
    if "partial_images" in fields and not streams:
        raise Refusal(400, "invalid_value", "'partial_images' needs 'stream' to be true.", "partial_images")
    check_choice(fields, "partial_images", (0, 1, 2, 3))


def check_choice(fields: dict[str, Any], name: str, allowed: tuple[object, ...]) -> None:
    """Refuse a value that is not one of those."""
    if name in fields and fields[name] not in allowed:
        raise Refusal(400, "invalid_value", f"Invalid value: '{fields[name]}'.", name)


def _check_size(model: str, size: str | None) -> None:
    if size is None:
        return
    known = next((sizes for name, sizes in _DALLE_SIZES.items() if model.startswith(name)), None)
    found = SIZE.fullmatch(size)
    fits = size in known if known else size == "auto" or (found and int(found[1]) % 16 == 0 == int(found[2]) % 16)
    if not fits:
        raise Refusal(400, "invalid_value", f"Invalid value: '{size}'.", "size")


def _refuse(fault: Fault, wire: str, headers: dict[str, str]) -> None:
    if fault.retry_after is not None:
        headers["retry-after"] = str(fault.retry_after)
    if fault.kind == "refuse":
        message = "Your request was rejected as a result of our safety system."
        inner: dict[str, Any] = (
            {"inner_error": {"code": "ResponsibleAIPolicyViolation"}} if wire == "azure-openai" else {}
        )
        code = "contentFilter" if inner else "moderation_blocked"
        raise Refusal(400, code, message, **inner)
    if fault.status is not None:
        code = "rate_limit_exceeded" if fault.status == 429 else "server_error"
        raise Refusal(fault.status, code, "The simulated provider was told to fail.")


def _measures(size: str) -> tuple[int, int]:
    found = SIZE.fullmatch(size)
    return (int(found[1]), int(found[2])) if found else (1024, 1024)


def images_body(model: str, made: list[bytes], prompt: str) -> dict[str, Any]:
    """The answer: pictures in base64, and what each family adds."""
    items: list[dict[str, Any]] = [{"b64_json": base64.b64encode(data).decode()} for data in made]
    body: dict[str, Any] = {"created": int(time.time()), "data": items}
    if model.startswith("dall-e-3"):
        for item in items:
            item["revised_prompt"] = f"A picture of {prompt}"
    elif not model.startswith("dall-e"):
        body["usage"] = _usage(prompt, len(made), 0)
    return body


def _usage(prompt: str, pictures: int, previews: int) -> dict[str, Any]:
    text, image = max(1, len(prompt) // 4), 208 * pictures + 100 * previews
    return {
        "input_tokens": text,
        "input_tokens_details": {"text_tokens": text, "image_tokens": 0},
        "output_tokens": image,
        "total_tokens": text + image,
    }


handlers: Final = (azure_generations, generations)
