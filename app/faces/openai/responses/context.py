"""What a new response asks: its words and pictures, those of earlier responses, the agent's, made one submission."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from app.faces.openai.bodies import Pointed, handed_in
from app.faces.openai.models import targets_of
from app.faces.openai.paths import AZURE
from app.faces.openai.responses.body import ImageTool, Item, NewResponse, checked_tool, tools_of
from app.faces.openai.responses.items import items_json, tool_json
from app.http.caller import permitted_targets
from app.http.input_images import decoded
from app.http.job_headers import client_reference, idempotency_key, options_from_headers
from app.http.problems import request_id
from app.services import AnyRequest, services
from jobs.client.inputs import InputImage
from jobs.client.responses import KeptResponse, new_response_id
from jobs.client.submission import Submission
from jobs.errors import Gone, InvalidInput, InvalidPicture, NotFound
from jobs.ids import twin
from jobs.model.job import Job
from jobs.model.request import ImageRequest, Target
from jobs.model.times import now_ms
from jobs.webhooks.responses import BACKGROUND

if TYPE_CHECKING:
    from app.auth.caller import Caller
    from jobs.client.agents import AgentVersion

FACE: Final = "responses"
DEPLOYMENT: Final = "x-ms-oai-image-generation-deployment"
MAX_REFERENCES: Final = 16
_AZURE: Final = "azure-openai"
_CALL: Final = "image_generation_call"


class Asked(Struct, frozen=True):
    """What can be submitted, and what its response will say beside the job."""

    submission: Submission
    kept: KeptResponse


class _Context(Struct, frozen=True):
    """The words and pictures of the input."""

    instructions: list[str]
    words: list[str]
    images: tuple[InputImage, ...]


async def asked(request: AnyRequest, caller: Caller, body: NewResponse) -> Asked:
    """The submission, and what is kept beside its job. Raises `DarkroomError` naming the field."""
    agent = await _agent(request, caller, body)
    definition = {} if agent is None else agent.definition
    tools, others = (body.tools, body.other_tools) if body.tools or body.other_tools else tools_of(definition)
    tool = checked_tool(tools)
    instructions = body.instructions or definition.get("instructions")
    model = body.model or definition.get("model")
    context = await _context(request, caller, body)
    images = () if tool.action == "generate" else context.images
    if tool.action == "edit" and not images:
        raise InvalidInput("edit needs a picture in the input", field="tools[0].action")
    first, *further = _targets(request, caller, _image_model(request, tool, model))
    kept = KeptResponse(
        id=new_response_id(),
        org=caller.org,
        created_ms=now_ms(),
        model=model or first.model,
        input=items_json(body.input),
        action="edit" if images else "generate",
        instructions=instructions,
        tools=[tool_json(tool), *others],
        tool_choice=body.tool_choice,
        metadata=body.metadata,
        previous_response_id=body.previous_response_id,
        background=body.background,
        store=body.store,
        agent=None if agent is None else {"type": "agent_reference", "name": agent.name, "version": str(agent.number)},
        echoed=body.of_text_models,
        ignored=[*body.of_text_models, *(f"tools ({other.get('type')})" for other in others)],
    )
    options = options_from_headers(request)
    if not body.store:
        options = replace(options, store_inputs=False)
    submission = Submission(
        org=caller.org,
        subject=caller.subject,
        face=BACKGROUND if body.background else FACE,
        request=_image_request(body, tool, first, "\n\n".join(_words(instructions, context))),
        images=images,
        mask=None if tool.input_image_mask is None else handed_in(tool.input_image_mask, "tools[0].input_image_mask"),
        options=options,
        idempotency_key=idempotency_key(request),
        metadata=body.metadata,
        client_reference=client_reference(request.headers.get("x-client-reference"), "X-Client-Reference"),
        request_id=request_id(request),
        key_id=caller.key_id,
        fallbacks=tuple(further),
        job_id=kept.job_id,
    )
    return Asked(submission, kept)


async def _agent(request: AnyRequest, caller: Caller, body: NewResponse) -> AgentVersion | None:
    whose = body.whose
    if whose is None:
        return None
    found = await services(request).agents.get(caller.org, whose.name)
    if found.agent.disabled:
        raise InvalidInput(f"the agent {whose.name} is disabled", field="agent.name")
    version = str(whose.version or "latest")
    if version == "latest":
        return found.latest
    if not version.isascii() or not version.isdigit() or len(version) > 9:  # noqa: PLR2004  # more than anybody makes
        raise NotFound(f"the agent {whose.name} has no such version")
    return await services(request).agents.version(caller.org, whose.name, int(version))


def _image_model(request: AnyRequest, tool: ImageTool, model: str | None) -> str:
    """The tool's own model, then the header's, then that of the response, where it is one that makes pictures."""
    named = tool.model or request.headers.get(DEPLOYMENT)
    if named:
        return named
    if model and services(request).router.knows(model):
        return model
    message = f"name the image model: tools[].model, or the header {DEPLOYMENT}"
    raise InvalidInput(message, field="tools[0].model", reason="missing_field")


def _targets(request: AnyRequest, caller: Caller, name: str) -> tuple[Target, ...]:
    provider = _AZURE if request.scope["path"].startswith(AZURE) else None
    return permitted_targets(caller, name, targets_of(services(request).router, name, provider))


def _words(instructions: str | None, context: _Context) -> list[str]:
    if not any(text.strip() for text in context.words):
        raise InvalidInput("must have a text that says what picture is wanted", field="input")
    return [text for text in (instructions or "", *context.instructions, *context.words) if text.strip()]


def _image_request(body: NewResponse, tool: ImageTool, target: Target, prompt: str) -> ImageRequest:
    return ImageRequest(
        provider=target.provider,
        model=target.model,
        prompt=prompt,
        size=tool.size,
        quality=tool.quality,
        background=tool.background,
        output_format=tool.output_format,
        output_compression=tool.output_compression if tool.output_format in {"jpeg", "webp"} else None,
        moderation=tool.moderation,
        input_fidelity=tool.input_fidelity,
        user=body.user,
        safety_identifier=body.safety_identifier,
        partial_images=(tool.partial_images or None) if body.stream or body.background else None,
    )


async def _context(request: AnyRequest, caller: Caller, body: NewResponse) -> _Context:
    earlier: list[InputImage] = []
    if body.previous_response_id is not None:
        kept = await services(request).responses.get(caller.org, body.previous_response_id)
        job = await services(request).jobs.get(caller.org, kept.job_id)
        if not job.status.terminal:
            raise InvalidInput("has not ended yet", field="previous_response_id")
        earlier += _pictures(job, "previous_response_id")
    items = [Item(role="user", content=body.input)] if isinstance(body.input, str) else body.input
    images = [*earlier, *(await _images(request, caller, items))]
    if len(images) > MAX_REFERENCES:
        raise InvalidPicture(f"may have at most {MAX_REFERENCES} pictures", field="input")
    last = max((i for i, item in enumerate(items) if item.role == "assistant"), default=-1)
    if not any(item.role == "user" for item in items[last + 1 :]):
        last = -1
    system = [text for item in items if item.role in {"system", "developer"} for text in _texts(item)]
    words = [text for item in items[last + 1 :] if item.role == "user" for text in _texts(item)]
    return _Context(system, words, tuple(images))


async def _images(request: AnyRequest, caller: Caller, items: Sequence[Item]) -> list[InputImage]:
    """The pictures of the input: those sent, and those that earlier calls of the tool have made."""
    found: list[InputImage] = []
    for i, item in enumerate(items):
        place = f"input[{i}]"
        if item.type == _CALL:
            found += await _of_call(request, caller, item, place)
        for j, part in enumerate(item.content if isinstance(item.content, list) else ()):
            if part.type == "input_image":
                picture = Pointed(image_url=part.image_url, file_id=part.file_id)
                found.append(handed_in(picture, f"{place}.content[{j}]"))
            elif part.type == "input_file":
                raise InvalidInput("takes pictures alone: send input_image", field=f"{place}.content[{j}].type")
    return found


async def _of_call(request: AnyRequest, caller: Caller, item: Item, place: str) -> list[InputImage]:
    """What an earlier call has made: ours by its id; of another server by its result."""
    try:
        job = await services(request).jobs.get(caller.org, twin(item.id or "", "job"))
    except (NotFound, Gone):
        if item.result is None:
            message = "there is no call of yours with this id"
            raise InvalidPicture(message, field=f"{place}.id", reason="no_such_call") from None
        return [InputImage(field=place, data=decoded(item.result.content, f"{place}.result"))]
    return _pictures(job, place)


def _pictures(job: Job, place: str) -> list[InputImage]:
    return [InputImage(field=place, url=image.url) for image in job.images]


def _texts(item: Item) -> list[str]:
    if isinstance(item.content, str):
        return [item.content]
    return [part.text for part in item.content or () if part.text and part.type in {"input_text", "text"}]
