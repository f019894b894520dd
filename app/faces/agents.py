"""The agents face: `POST /api/v1/agents/images`, the synchronous call of the platform's agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar import Response, post
from msgspec import Struct

from app.auth.caller import WRITE
from app.http.caller import known_caller, permitted
from app.http.input_images import Mask, ReferenceImage, mask, reference
from app.http.job_headers import client_reference, idempotency_key, options_from_headers
from app.http.json_body import read_json
from app.http.problems import request_id
from app.http.responses import location_headers
from app.http.sse import open_stream, stream, wants_stream
from app.http.wait import answer_now_or_later
from app.services import AnyRequest, services
from jobs.client.submission import Submission
from jobs.errors import InvalidInput
from jobs.model.request import ImageRequest

if TYPE_CHECKING:
    from app.auth.caller import Caller

FACE: Final = "agents"
PROVIDERS: Final = ("azure-openai", "gemini")
MAX_PROMPT_LENGTH: Final = 4_000
EXAMPLE: Final = {
    "provider": "azure-openai",
    "model": "gpt-image-2",
    "prompt": "Studio photo of a small ceramic mug, soft morning light",
    "size": "1024x1024",
    "quality": "high",
}


class AgentImage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The body: `provider`, `model` and `prompt` are required."""

    provider: str
    model: str
    prompt: str
    size: str | None = None
    quality: str | None = None
    style: str | None = None
    negative_prompt: str | None = None
    reference_image: ReferenceImage | None = None
    mask: Mask | None = None


@post("/api/v1/agents/images", status_code=200, opt={"body": AgentImage, "example": EXAMPLE, "result": "image"})
async def create_image(request: AnyRequest) -> Response[Any]:
    """Make a picture and wait for it, at most 120 s; the job goes on when the wait ends first."""
    caller = await known_caller(request, WRITE)
    if wants_stream(request):
        opened = open_stream(request, caller.org, caller.subject)
        job = (await services(request).submitter.submit(await _submission(request, caller))).job
        return await stream(request, job, opened, location_headers(request, job))
    return await answer_now_or_later(request, await _submission(request, caller))


async def _submission(request: AnyRequest, caller: Caller) -> Submission:
    body = await read_json(request, AgentImage)
    return Submission(
        org=caller.org,
        subject=caller.subject,
        face=FACE,
        request=permitted(caller, _image_request(body)),
        images=() if body.reference_image is None else (reference(body.reference_image, "referenceImage"),),
        mask=None if body.mask is None else mask(body.mask),
        options=options_from_headers(request),
        idempotency_key=idempotency_key(request),
        client_reference=client_reference(request.headers.get("x-client-reference"), "X-Client-Reference"),
        request_id=request_id(request),
        key_id=caller.key_id,
    )


def _image_request(body: AgentImage) -> ImageRequest:
    if body.provider not in PROVIDERS:
        raise InvalidInput(f"must be {' or '.join(PROVIDERS)}", field="provider")
    for field, text in (("prompt", body.prompt), ("negativePrompt", body.negative_prompt or "")):
        if len(text) > MAX_PROMPT_LENGTH:
            raise InvalidInput(f"must be at most {MAX_PROMPT_LENGTH} characters", field=field)
    return ImageRequest(
        provider=body.provider,
        model=body.model,
        prompt=body.prompt,
        size=body.size,
        quality=body.quality,
        style=body.style,
        negative_prompt=body.negative_prompt,
    )


handlers: Final = (create_image,)
