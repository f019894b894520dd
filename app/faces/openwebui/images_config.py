"""Open WebUI's `ImagesConfig`: what an org's administrators set, as it is sent, shown, kept and held to its form."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, to_builtins

from app.faces.openwebui.errors import FORMAT
from app.faces.openwebui.forms import MAX_STEPS
from jobs.client.image_config import ImageConfig
from jobs.errors import InvalidInput

ENGINES: Final = ("", "openai", "gemini", "comfyui", "automatic1111")
MASK: Final = "********"
"""Stands for a secret that there is; sent back, it changes nothing."""
Nodes = list[dict[str, Any]] | str
Params = dict[str, Any] | str


class ImagesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="upper"):
    """Every key, with what holds before anybody has set it.

    Servers, keys, API versions and workflows are kept and shown; the pictures are made by the gateway's own accounts.
    """

    enable_image_generation: bool = True
    enable_image_prompt_generation: bool = True
    image_generation_engine: str = ""
    image_generation_model: str = ""
    image_size: str = "512x512"
    image_steps: int = 50
    images_openai_api_base_url: str = ""
    images_openai_api_key: str = ""
    images_openai_api_version: str = ""
    images_openai_api_params: Params = {}
    automatic1111_base_url: str = ""
    automatic1111_api_auth: str = ""
    automatic1111_params: Params = {}
    comfyui_base_url: str = ""
    comfyui_api_key: str = ""
    comfyui_workflow: str = ""
    comfyui_workflow_nodes: Nodes = []
    images_gemini_api_base_url: str = ""
    images_gemini_api_key: str = ""
    images_gemini_endpoint_method: str = ""
    enable_image_edit: bool = True
    image_edit_engine: str = ""
    image_edit_model: str = ""
    image_edit_size: str = ""
    images_edit_openai_api_base_url: str = ""
    images_edit_openai_api_key: str = ""
    images_edit_openai_api_version: str = ""
    images_edit_gemini_api_base_url: str = ""
    images_edit_gemini_api_key: str = ""
    images_edit_comfyui_base_url: str = ""
    images_edit_comfyui_api_key: str = ""
    images_edit_comfyui_workflow: str = ""
    images_edit_comfyui_workflow_nodes: Nodes = []

    @property
    def edit_engine(self) -> str:
        """Who makes edits: where nobody set it, who makes the other pictures."""
        return self.image_edit_engine or self.image_generation_engine


def of_kept(kept: ImageConfig) -> ImagesConfig:
    """What an org has, in force, its secrets in plain words."""
    values = {name: value for name, value in {**kept.values, **kept.secrets}.items() if name in _NAMES}
    return msgspec.convert(values, ImagesConfig)


def to_keep(config: ImagesConfig) -> ImageConfig:
    """The reverse."""
    told = to_builtins(config)
    secrets = {name: told.pop(name) for name in SECRETS}
    return ImageConfig(told, secrets)


def shown(config: ImagesConfig, unknown: Sequence[str] = ()) -> dict[str, Any]:
    """As it is sent to administrators: secrets masked, and a warning for each key that steers no picture.

    `unknown`: those of another version's front end, which are not even kept.
    """
    told = to_builtins(config)
    masked = {name: MASK if told[name] else "" for name in SECRETS}
    idle = [name for name in (*SECRETS, *IDLE) if told[name]]
    whys = {**dict.fromkeys(idle, "kept, and not used: the gateway has its own"), **dict.fromkeys(unknown, _UNKNOWN)}
    warnings = [{"code": "ignored_option", "field": n, "message": f"{n}: {why}"} for n, why in whys.items()]
    return {**told, **masked, **({"warnings": warnings} if warnings else {})}


def merged(sent: dict[str, Any], config: ImagesConfig) -> dict[str, Any]:
    """What an update makes of the configuration: what is left out, null, or masked stays as it is."""
    before = to_builtins(config)
    kept = {name: value for name, value in sent.items() if value is not None and name in _NAMES}
    masked = {name: before[name] for name in SECRETS if kept.get(name) == MASK}
    return {**before, **kept, **masked}


def unknown_of(sent: dict[str, Any]) -> list[str]:
    """The names that an update has and the configuration has not."""
    return [name[:_MAX_NAME] for name in sent if name not in _NAMES and name != "warnings"][:_MAX_UNKNOWN]


def check(config: ImagesConfig) -> None:
    """Raises `InvalidInput` as Open WebUI words it."""
    for name, engine in (
        ("IMAGE_GENERATION_ENGINE", config.image_generation_engine),
        ("IMAGE_EDIT_ENGINE", config.image_edit_engine),
    ):
        if engine not in ENGINES:
            raise _wrong(name, f" ({', '.join(filter(None, ENGINES))}).")
    if config.images_gemini_endpoint_method not in {"", "predict", "generateContent"}:
        raise _wrong("IMAGES_GEMINI_ENDPOINT_METHOD", " (predict or generateContent).")
    for name, size, model in (
        ("IMAGE_SIZE", config.image_size, config.image_generation_model),
        ("IMAGE_EDIT_SIZE", config.image_edit_size, config.image_edit_model or config.image_generation_model),
    ):
        if size == "auto" and not _AUTO.match(model.rpartition("/")[2]):
            raise _wrong(name, " (auto is only allowed with gpt-image models).")
        if size not in {"", "auto"} and not _SIZE.fullmatch(size):
            raise _wrong(name, " (e.g., 512x512).")
    if not 0 <= config.image_steps <= MAX_STEPS:
        raise _wrong("IMAGE_STEPS", " (e.g., 50).")
    for name, text in (
        ("IMAGES_OPENAI_API_PARAMS", config.images_openai_api_params),
        ("AUTOMATIC1111_PARAMS", config.automatic1111_params),
    ):
        if params(text) is None:
            raise _wrong(name, " (a JSON object).")


def params(given: Params | None) -> dict[str, Any] | None:
    """Parameters as an object, which may come as its JSON; None: they are none."""
    if not given:
        return {}
    try:
        found = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        return None
    return found if isinstance(found, dict) else {} if found is None else None


_NAMES: Final = frozenset(field.encode_name for field in msgspec.structs.fields(ImagesConfig))
SECRETS: Final = tuple(
    field.encode_name
    for field in msgspec.structs.fields(ImagesConfig)
    if field.encode_name.endswith(("_API_KEY", "_API_AUTH"))
)
IDLE: Final = tuple(
    field.encode_name
    for field in msgspec.structs.fields(ImagesConfig)
    if field.encode_name.endswith(("_BASE_URL", "_API_VERSION", "_WORKFLOW", "_WORKFLOW_NODES"))
)
"""What is kept and used for nothing: which server makes a picture, with which key and graph, is the operator's word."""
_UNKNOWN: Final = "is no key here"
_MAX_NAME: Final = 64
_MAX_UNKNOWN: Final = 50
_SIZE: Final = re.compile(r"\d{1,5}x\d{1,5}")
_AUTO: Final = re.compile(r"gpt-image|chatgpt-image")


def _wrong(field: str, example: str) -> InvalidInput:
    return InvalidInput(example, field=field, reason=FORMAT)
