"""The image face: what a Next.js front end's own `POST /api/image` and `POST /api/upload` are to its pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from litestar import Response, get, post

from app.auth.caller import READ, WRITE
from app.faces.image.answers import data_url_response, json_answer
from app.faces.image.bodies import PageImage, image_inputs, uploaded
from app.faces.image.errors import history_error, image_error, upload_error
from app.http.caller import known_caller, permitted_targets
from app.http.input_images import EXAMPLE_PICTURE
from app.http.job_headers import client_reference, idempotency_key, options_from_headers
from app.http.json_body import read_json
from app.http.multipart import read_form
from app.http.problems import request_id
from app.http.query import MAX_PAGE, PAGE, number, only_query
from app.http.responses import ENVELOPES, Renderer
from app.http.wait import answer_now_or_later
from app.services import AnyRequest, services
from jobs.client.submission import Submission
from jobs.errors import InvalidInput
from jobs.history.generation import user_of
from jobs.model.request import ImageRequest, Target

if TYPE_CHECKING:
    from app.auth.caller import Caller

FACE: Final = "image"
PROVIDER: Final = "gemini"
MODEL: Final = "gemini-3-pro-image-preview"
NO_FALLBACK: Final = "none"
SHAPES: Final = (("/api/image", image_error), ("/api/upload", upload_error), ("/api/history", history_error))
GENERATION: Final = re.compile(r"gen-[0-9A-Za-z-]{1,64}")
_PAGE: Final = {"limit": "at most 100", "cursor": "from the page before"}
_IMAGE: Final = {
    "body": PageImage,
    "example": {"images": [EXAMPLE_PICTURE], "prompt": "The same in winter"},
    "result": "page_image",
    "errors": "page_error",
}


@post("/api/image", status_code=200, opt=_IMAGE)
async def make_page_image(request: AnyRequest) -> Response[Any]:
    """Make a picture of others and a prompt, and wait for it: as a `data:` URL and by its address."""
    caller = await known_caller(request, WRITE)
    return await answer_now_or_later(request, await _submission(request, caller), _RENDERER)


@post("/api/upload", status_code=200, opt={"file": "file", "result": "upload", "errors": "page_error"})
async def upload_picture(request: AnyRequest) -> Response[bytes]:
    """Keep a picture, and answer with the address under which `/api/image` takes it."""
    caller = await known_caller(request, WRITE)
    file = uploaded(await read_form(request))
    return json_answer({"url": await services(request).kept_pictures.keep(caller.org, file.filename, file.data)})


@get("/api/history", opt={"query": _PAGE, "result": "history", "errors": "page_error"})
async def list_generations(request: AnyRequest) -> Response[bytes]:
    """What the caller's pages have made, newest first."""
    caller = await known_caller(request, READ)
    query = only_query(request, frozenset(_PAGE))
    cursor, limit = query.get("cursor"), min(number(query, "limit", PAGE), MAX_PAGE)
    if cursor is not None and not GENERATION.fullmatch(cursor):
        raise InvalidInput("is not a cursor of ours", field="cursor")
    found = await services(request).history.page(user_of(caller.org, caller.subject), cursor, limit)
    more = found[-1]["id"] if len(found) == limit else None
    return json_answer({"generations": [_fresh(request, made) for made in found], "cursor": more})


async def _submission(request: AnyRequest, caller: Caller) -> Submission:
    body = await read_json(request, PageImage)
    images = image_inputs(body)
    first, *others = permitted_targets(caller, MODEL, _targets(request))
    return Submission(
        org=caller.org,
        subject=caller.subject,
        face=FACE,
        request=ImageRequest(provider=first.provider, model=first.model, prompt=body.prompt),
        fallbacks=tuple(others),
        images=images,
        options=options_from_headers(request),
        idempotency_key=idempotency_key(request),
        client_reference=client_reference(request.headers.get("x-client-reference"), "X-Client-Reference"),
        request_id=request_id(request),
        key_id=caller.key_id,
    )


def _fresh(request: AnyRequest, made: dict[str, Any]) -> dict[str, Any]:
    """A document with links that open."""
    fresh = services(request).pictures.fresh
    inputs = [fresh(url) for url in made["inputImages"] or ()]
    return {**made, "inputImages": inputs, "outputImageUrl": fresh(made["outputImageUrl"] or "")}


def _targets(request: AnyRequest) -> tuple[Target, ...]:
    following = services(request).settings.image_fallback_model
    models = (MODEL,) if following in {NO_FALLBACK, MODEL} else (MODEL, following)
    return tuple(Target(PROVIDER, model) for model in models)


_RENDERER: Final = Renderer(picture=data_url_response, pointer=ENVELOPES.pointer)
handlers: Final = (make_page_image, upload_picture, list_generations)
