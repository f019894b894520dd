"""The Open WebUI face: its back end's `/api/v1/images` (and `/api/images`, as its documents have it), and its files."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from litestar import Response, get, post
from litestar.params import FromPath
from msgspec import Struct
from msgspec.structs import replace

from app.faces.openwebui import admin, files
from app.faces.openwebui.admin import config_of
from app.faces.openwebui.answers import JOBS, PREFIXES, TOLD, json, located, renderer
from app.faces.openwebui.asked import FACE, edit_request, generation_request
from app.faces.openwebui.engines import engine, models, targets
from app.faces.openwebui.errors import openwebui_error
from app.faces.openwebui.forms import Edit, Generation, Metadata, chat_link, file_of, read_edit, read_generation
from app.faces.openwebui.users import User, known_user
from app.http.input_images import EXAMPLE_PICTURE, pointed
from app.http.job_headers import client_reference, idempotency_key, options_from_headers
from app.http.problems import request_id
from app.http.query import known_id, only_query
from app.http.responses import ended
from app.http.sse import open_stream, stream, wants_stream
from app.http.wait import answer_now_or_later
from app.services import AnyRequest, services
from jobs.client.files import ChatLink
from jobs.client.inputs import InputImage
from jobs.client.submission import Submission
from jobs.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from app.http.base64_fields import Base64Text
    from jobs.model.request import ImageRequest, Target

SHAPES: Final = tuple((f"/api/{path}/", openwebui_error) for path in ("v1/images", "images", "v1/files"))
_GENERATION: Final = {
    "body": Generation,
    "example": {"prompt": "A red fox in an autumn forest", "size": "1024x1024"},
    "result": "openwebui_images",
    **TOLD,
}
_EDIT: Final = {
    "body": Edit,
    "example": {"image": EXAMPLE_PICTURE, "prompt": "Now in winter"},
    "result": "openwebui_images",
    **TOLD,
}


@post([f"{prefix}/generations" for prefix in PREFIXES], status_code=200, opt=_GENERATION)
async def generate_for_openwebui(request: AnyRequest) -> Response[Any]:
    """Make pictures and wait for them: a list of files. The job goes on when the wait ends first."""
    return await _answer(request, await _generation(request))


@post([f"{prefix}/edit" for prefix in PREFIXES], status_code=200, opt=_EDIT)
async def edit_for_openwebui(request: AnyRequest) -> Response[Any]:
    """Make pictures of pictures: of files, `data:` URLs or addresses."""
    return await _answer(request, await _edit(request))


@get([f"{prefix}/generations/{{job_id:str}}" for prefix in PREFIXES], opt={"result": "openwebui_images", **TOLD})
async def get_for_openwebui(request: AnyRequest, job_id: FromPath[str]) -> Response[Any]:
    """What became of a request whose wait ended: its files, how far it is (202), or events for `text/event-stream`."""
    user = await known_user(request, looks=True)
    only_query(request)
    job = await services(request).jobs.get(user.caller.org, known_id(job_id, "job", "job"))
    if not user.reads(job.subject):
        raise NotFound("no such job")
    if wants_stream(request):
        opened = open_stream(request, user.caller.org, user.caller.subject)
        return await stream(request, job, opened)
    link = Metadata(chat_id=job.metadata.get("chat_id"), message_id=job.metadata.get("message_id"))
    told = renderer(chat_link(link))
    if not job.status.terminal:
        return await located(told.pointer(request, job, {}))
    return await ended(request, job, {}, told)


@get([f"{prefix}/models" for prefix in PREFIXES], opt={"result": "openwebui_models", **TOLD})
async def list_openwebui_models(request: AnyRequest) -> Response[bytes]:
    """The models of the configured engine that the caller may ask for; those of ComfyUI and Automatic1111 by asking."""
    user = await known_user(request)
    only_query(request)
    config = await config_of(request, user.caller.org)
    return json(await models(request, user.caller, engine(config, config.image_generation_engine)))


class Asked(Struct, frozen=True):
    """What can be submitted, and the chat that its pictures belong to."""

    submission: Submission
    link: ChatLink | None


async def _generation(request: AnyRequest) -> Asked:
    user = await _maker(request)
    config = await config_of(request, user.caller.org)
    _require(config.enable_image_generation)
    form = await read_generation(request)
    chosen = engine(config, config.image_generation_engine)
    found = await targets(request, user.caller, chosen, form.model, config.image_generation_model)
    asked = generation_request(form, found[0], config, services(request).catalog)
    return Asked(_submission(request, user, asked, found, form), chat_link(form.metadata))


async def _edit(request: AnyRequest) -> Asked:
    user = await _maker(request)
    config = await config_of(request, user.caller.org)
    _require(config.enable_image_edit)
    form = await read_edit(request)
    own = config.image_edit_model or ("" if config.image_edit_engine else config.image_generation_model)
    found = await targets(request, user.caller, engine(config, config.edit_engine), form.model, own)
    asked = edit_request(form, found[0], config, services(request).catalog)
    images = tuple([await _input_image(request, user, image, f"image[{i}]") for i, image in enumerate(form.image)])
    submission = replace(_submission(request, user, asked, found, form), images=images)
    return Asked(submission, chat_link(form.metadata))


async def _maker(request: AnyRequest) -> User:
    user = await known_user(request)
    user.require_makes()
    only_query(request)
    return user


def _require(enabled: bool) -> None:
    if not enabled:
        raise Forbidden("this is switched off here", reason="switched_off")


async def _input_image(request: AnyRequest, user: User, image: Base64Text, place: str) -> InputImage:
    file_id = file_of(image)
    if file_id is None:
        return pointed(image, place)
    file = await services(request).files.get(user.caller.org, file_id, user.reads)
    return InputImage(field=place, url=services(request).pictures.link_to(file.blob))


def _submission(
    request: AnyRequest, user: User, asked: ImageRequest, found: tuple[Target, ...], form: Generation | Edit
) -> Submission:
    link = chat_link(form.metadata)
    linked = {} if link is None else {"chat_id": link.chat_id, "message_id": link.message_id or ""}
    return Submission(
        org=user.caller.org,
        subject=user.caller.subject,
        face=FACE,
        request=asked,
        fallbacks=found[1:],
        options=options_from_headers(request),
        idempotency_key=idempotency_key(request),
        client_reference=client_reference(request.headers.get("x-client-reference"), "X-Client-Reference"),
        metadata={name: value for name, value in linked.items() if value},
        request_id=request_id(request),
        key_id=user.caller.key_id,
    )


def _answer(request: AnyRequest, asked: Asked) -> Awaitable[Response[Any]]:
    """No coroutine of its own: it would keep the pictures in hand for as long as the wait lasts."""
    if wants_stream(request):
        return _streamed(request, asked.submission)
    return located(answer_now_or_later(request, asked.submission, renderer(asked.link)))


async def _streamed(request: AnyRequest, submission: Submission) -> Response[Any]:
    opened = open_stream(request, submission.org, submission.subject)
    job = (await services(request).submitter.submit(submission)).job
    return await stream(request, job, opened, {"Location": f"{JOBS}/{job.id}", "X-Job-Id": job.id})


handlers: Final = (
    generate_for_openwebui,
    edit_for_openwebui,
    get_for_openwebui,
    list_openwebui_models,
    *admin.handlers,
    *files.handlers,
)
