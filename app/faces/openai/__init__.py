"""The OpenAI face: OpenAI's images API and the Azure forms of the same, for clients that already speak them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from litestar import Response, get, post
from litestar.params import FromPath
from msgspec import Struct

from app.auth.caller import READ, WRITE
from app.faces.openai.answers import b64_response, pointer, url_response
from app.faces.openai.bodies import Edit, Generation, ImagesRequest, read_edit, read_generation
from app.faces.openai.errors import openai_error
from app.faces.openai.models import known_model, model_json, offered, targets_of
from app.faces.openai.streams import streamed
from app.http.caller import known_caller, permitted_targets
from app.http.input_images import EXAMPLE_PICTURE
from app.http.job_headers import Preference, client_reference, idempotency_key, options_from_headers
from app.http.problems import request_id
from app.http.query import only_query
from app.http.responses import Renderer
from app.http.wait import answer_now_or_later
from app.services import AnyRequest, services
from jobs.client.submission import Submission
from jobs.errors import NotFound

if TYPE_CHECKING:
    from app.auth.caller import Caller

FACE: Final = "openai"
SHAPES: Final = tuple((path, openai_error) for path in ("/v1/", "/openai/", "/api/projects/", "/agents", "/agents/"))
_AZURE: Final = "azure-openai"
_IMAGES: Final = ("gpt-image-", "chatgpt-image-")
"""Models whose pictures come in base64 unless the caller says otherwise, as OpenAI has it."""
_QUERY: Final = frozenset({"api-version"})
_EXAMPLE: Final = {"model": "gpt-image-2", "prompt": "A watercolor painting of a mountain lake at sunrise"}
_GENERATION: Final = {"body": Generation, "example": _EXAMPLE, "result": "images", "errors": "openai_error"}
_EDIT: Final = {
    "body": Edit,
    "example": {**_EXAMPLE, "images": [{"image_url": EXAMPLE_PICTURE}]},
    "form": "`image` or `image[]`, `mask`, and every other field as text",
    "result": "images",
    "errors": "openai_error",
}


@post("/v1/images/generations", status_code=200, opt=_GENERATION)
async def generate_images(request: AnyRequest) -> Response[Any]:
    """Make pictures, as OpenAI's `images.generate`; with `stream` as events, with `async` 202 and the job's address."""
    caller = await _writer(request)
    return await _answer(request, _asked(request, caller, await read_generation(request, None)))


@post("/v1/images/edits", status_code=200, opt=_EDIT)
async def edit_images(request: AnyRequest) -> Response[Any]:
    """Edit pictures, as OpenAI's `images.edit`: JSON, or the form that the SDKs send."""
    caller = await _writer(request)
    return await _answer(request, _asked(request, caller, await read_edit(request, None)))


@post("/v1/images/variations", include_in_schema=False)
async def vary_images(request: AnyRequest) -> Response[Any]:
    """Retired by OpenAI: an edit with a GPT image model makes variations."""
    await _writer(request)
    raise NotFound("this endpoint is retired: use /v1/images/edits with a GPT image model and a prompt")


@post(["/openai/v1/images/generations", "/openai/images/generations"], status_code=200, opt=_GENERATION)
async def generate_azure_v1_images(request: AnyRequest) -> Response[Any]:
    """The same by Azure's newer path, and by the one that npm's `AzureOpenAI` takes: `model` is a deployment."""
    caller = await _writer(request)
    return await _answer(request, _asked(request, caller, await read_generation(request, None), _AZURE))


@post(["/openai/v1/images/edits", "/openai/images/edits"], status_code=200, opt=_EDIT)
async def edit_azure_v1_images(request: AnyRequest) -> Response[Any]:
    """The same by Azure's newer path, and by the one that npm's `AzureOpenAI` takes: `model` is a deployment."""
    caller = await _writer(request)
    return await _answer(request, _asked(request, caller, await read_edit(request, None), _AZURE))


@post("/openai/deployments/{deployment:str}/images/generations", status_code=200, opt=_GENERATION)
async def generate_azure_images(request: AnyRequest, deployment: FromPath[str]) -> Response[Any]:
    """The same by Azure's path of a deployment, as `AzureOpenAI` asks."""
    caller = await _writer(request)
    return await _answer(request, _asked(request, caller, await read_generation(request, deployment), _AZURE))


@post("/openai/deployments/{deployment:str}/images/edits", status_code=200, opt=_EDIT)
async def edit_azure_images(request: AnyRequest, deployment: FromPath[str]) -> Response[Any]:
    """The same by Azure's path of a deployment, as `AzureOpenAI` asks."""
    caller = await _writer(request)
    return await _answer(request, _asked(request, caller, await read_edit(request, deployment), _AZURE))


@get(["/v1/models", "/openai/v1/models"], opt={"result": "models", "errors": "openai_error"})
async def list_models(request: AnyRequest) -> Response[bytes]:
    """The models that the caller may ask for, by the names that are known here."""
    caller = await known_caller(request, READ)
    only_query(request, _QUERY)
    return model_json({"object": "list", "data": offered(request, caller)})


@get(["/v1/models/{model:path}", "/openai/v1/models/{model:path}"], opt={"result": "model", "errors": "openai_error"})
async def get_model(request: AnyRequest, model: FromPath[str]) -> Response[bytes]:
    """One model by its name, which may be `provider/model`."""
    caller = await known_caller(request, READ)
    only_query(request, _QUERY)
    return model_json(known_model(request, caller, model.lstrip("/")))


class Asked(Struct, frozen=True):
    """What can be submitted, and how its pictures are to be answered."""

    submission: Submission
    renderer: Renderer
    streams: bool
    prefer: Preference | None


async def _writer(request: AnyRequest) -> Caller:
    caller = await known_caller(request, WRITE)
    only_query(request, _QUERY)
    return caller


def _asked(request: AnyRequest, caller: Caller, images_request: ImagesRequest, provider: str | None = None) -> Asked:
    first, *others = permitted_targets(
        caller, images_request.model, targets_of(services(request).router, images_request.model, provider)
    )
    submission = Submission(
        org=caller.org,
        subject=caller.subject,
        face=FACE,
        request=images_request.request(first),
        fallbacks=tuple(others),
        images=images_request.images,
        mask=images_request.mask,
        options=options_from_headers(request),
        idempotency_key=idempotency_key(request),
        client_reference=client_reference(request.headers.get("x-client-reference"), "X-Client-Reference"),
        request_id=request_id(request),
        key_id=caller.key_id,
    )
    default = "b64_json" if first.model.startswith(_IMAGES) else "url"
    wants = images_request.fields.response_format or default
    renderer = Renderer(picture=b64_response if wants == "b64_json" else url_response, pointer=pointer)
    return Asked(
        submission, renderer, images_request.streams, Preference(0) if images_request.fields.asynchronous else None
    )


def _answer(request: AnyRequest, asked: Asked) -> Coroutine[Any, Any, Response[Any]]:
    """No coroutine of its own: it would keep the pictures in hand for as long as the wait lasts."""
    if asked.streams:
        return streamed(request, asked.submission)
    return answer_now_or_later(request, asked.submission, asked.renderer, asked.prefer)


handlers: Final = (
    generate_images,
    edit_images,
    vary_images,
    generate_azure_v1_images,
    edit_azure_v1_images,
    generate_azure_images,
    edit_azure_images,
    list_models,
    get_model,
)
