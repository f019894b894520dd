"""The body of a new response: what OpenAI's and Foundry's clients send, read as far as that goes by itself."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from app.faces.openai.bodies import MAX_PARTIALS, MAX_USER_LENGTH, Pointed
from app.http.base64_fields import Base64Text
from app.http.json_body import converted, read_json
from app.services import AnyRequest
from jobs.errors import InvalidInput
from jobs.model.metadata import checked_metadata

IMAGE_TOOL: Final = "image_generation"
ACTIONS: Final = ("auto", "generate", "edit")


class ImageTool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The options of the tool `image_generation`. `format` and `compression` are Foundry's documents' names."""

    type: str
    model: str | None = None
    size: str | None = None
    quality: str | None = None
    output_format: str | None = None
    format: str | None = None
    output_compression: int | None = None
    compression: int | None = None
    background: str | None = None
    partial_images: int | None = None
    moderation: str | None = None
    input_fidelity: str | None = None
    input_image_mask: Pointed | None = None
    action: str = "auto"
    name: str | None = None
    description: str | None = None


class AgentReference(Struct, frozen=True, kw_only=True):
    """Which agent, and which of its versions (the latest where none is named)."""

    name: str
    version: str | int | None = None
    type: str = "agent_reference"


class Content(Struct, frozen=True, kw_only=True):
    """A part of a message."""

    type: str
    text: str | None = None
    image_url: Base64Text | None = None
    file_id: str | None = None
    detail: str | None = None


class Item(Struct, frozen=True, kw_only=True):
    """An item of the input: a message, or an earlier call of the tool; of any other nothing is taken."""

    type: str = "message"
    id: str | None = None
    role: str | None = None
    content: str | list[Content] | None = None
    result: Base64Text | None = None


class NewResponse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of `responses.create` in the official SDKs, and `agent` or `agent_reference` of Foundry's."""

    input: str | list[Item]
    model: str | None = None
    agent: AgentReference | None = None
    agent_reference: AgentReference | None = None
    instructions: str | None = None
    tools: list[ImageTool] = []
    other_tools: list[dict[str, Any]] = []
    """Those of other types; a body has them among its `tools`."""
    tool_choice: str | dict[str, Any] = "auto"
    previous_response_id: str | None = None
    background: bool = False
    stream: bool = False
    store: bool = True
    metadata: dict[str, str] = {}
    user: str | None = None
    safety_identifier: str | None = None
    include: list[str] = []
    stream_options: dict[str, Any] | None = None
    parallel_tool_calls: bool = True
    conversation: Any = None
    prompt: Any = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    top_logprobs: int | None = None
    truncation: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    structured_inputs: dict[str, Any] | None = None

    @property
    def whose(self) -> AgentReference | None:
        """The agent, by either name."""
        return self.agent or self.agent_reference

    @property
    def of_text_models(self) -> dict[str, Any]:
        """What was asked of a text model, which has no effect without one."""
        return {name: value for name in _OF_TEXT_MODELS if (value := getattr(self, name)) is not None}


async def read_response(request: AnyRequest) -> NewResponse:
    """The body, whatever content type it says that it has. Raises `DarkroomError` naming the field."""
    return _checked(await read_json(request, NewResponse, reshape=_reshaped, any_type=True))


def tools_of(definition: dict[str, Any]) -> tuple[list[ImageTool], list[dict[str, Any]]]:
    """The tools of an agent: those that make pictures, and the others."""
    told = _reshaped({"input": "", "tools": definition.get("tools") or []})
    found = converted(told, NewResponse)
    return found.tools, found.other_tools


def checked_tool(tools: list[ImageTool]) -> ImageTool:
    """The one tool that makes pictures, by its own names. Raises `InvalidInput`."""
    if len(tools) != 1:
        message = "must name the tool image_generation" if not tools else "may name image_generation once"
        raise InvalidInput(message, field="tools", reason=None if tools else "missing_field")
    tool = tools[0]
    kind = tool.output_format or tool.format
    compression = tool.compression if tool.output_compression is None else tool.output_compression
    for name, value, most in (
        ("output_compression", compression, 100),
        ("partial_images", tool.partial_images, MAX_PARTIALS),
    ):
        if value is not None and not 0 <= value <= most:
            raise InvalidInput(f"must be 0 to {most}", field=f"tools[0].{name}")
    if tool.action not in ACTIONS:
        raise InvalidInput(f"must be {', '.join(ACTIONS)}", field="tools[0].action")
    return replace(
        tool, output_format=kind and kind.lower(), format=None, output_compression=compression, compression=None
    )


def _reshaped(fields: dict[str, Any]) -> dict[str, Any]:
    """Tools of other types apart: they may have any field, a misspelt option of ours would cost money."""
    if "other_tools" in fields:
        raise InvalidInput("is no field here", field="other_tools", reason="unknown_field")
    tools = fields.get("tools")
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        return fields
    ours = [tool for tool in tools if tool.get("type") == IMAGE_TOOL]
    return {**fields, "tools": ours, "other_tools": [tool for tool in tools if tool.get("type") != IMAGE_TOOL]}


def _checked(body: NewResponse) -> NewResponse:
    if body.background and not body.store:
        raise InvalidInput("needs store: true", field="background")
    if body.agent is not None and body.agent_reference is not None:
        raise InvalidInput("goes without agent_reference", field="agent")
    for name in ("conversation", "prompt"):
        if getattr(body, name) is not None:
            raise InvalidInput("is not known here: send the input and the instructions", field=name)
    for name in ("user", "safety_identifier"):
        if len(getattr(body, name) or "") > MAX_USER_LENGTH:
            raise InvalidInput(f"must be at most {MAX_USER_LENGTH} characters", field=name)
    if (
        body.tool_choice not in {"auto", "required"}
        if isinstance(body.tool_choice, str)
        else not _is_ours(body.tool_choice)
    ):
        raise InvalidInput("must let image_generation be called: nothing else runs here", field="tool_choice")
    checked_metadata(body.metadata)
    return body


def _is_ours(choice: dict[str, Any]) -> bool:
    allowed = choice.get("tools")
    named = allowed if choice.get("type") == "allowed_tools" and isinstance(allowed, list) else [choice]
    return any(isinstance(tool, dict) and tool.get("type") == IMAGE_TOOL for tool in named)


_OF_TEXT_MODELS: Final = (
    "temperature",
    "top_p",
    "max_output_tokens",
    "max_tool_calls",
    "reasoning",
    "text",
    "top_logprobs",
    "truncation",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "structured_inputs",
)
