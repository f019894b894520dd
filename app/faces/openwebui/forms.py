"""What Open WebUI's front end and its image tools send, read into what the core understands."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct

from app.faces.openwebui.errors import BODY
from app.http.base64_fields import Base64Text
from app.http.json_body import read_json
from jobs.client.files import ChatLink
from jobs.errors import InvalidInput, InvalidPicture
from jobs.model.metadata import MAX_VALUE_LENGTH

if TYPE_CHECKING:
    from app.services import AnyRequest

MAX_PICTURES: Final = 10
MAX_STEPS: Final = 150
MAX_REFERENCES: Final = 16
MAX_PROMPT: Final = 32_000
FILE_ID: Final = re.compile(r"file_[0-9a-z]{30}-[0-9]{1,2}")
_FILE: Final = re.compile(
    rf"(?:(?:https?://[^/?#\s]+)?/api/v1/files/)?({FILE_ID.pattern})(?:/content)?(?:\?attachment=\w+)?"
)
T = TypeVar("T", bound=Struct)


class Metadata(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The message of a chat that the picture is for."""

    chat_id: str | None = None
    message_id: str | None = None


class Generation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open WebUI's `CreateImageForm`; `metadata` links the picture to a chat."""

    prompt: str
    model: str | None = None
    size: str | None = None
    n: int = 1
    steps: int | None = None
    negative_prompt: str | None = None
    metadata: Metadata | None = None


class Edit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open WebUI's `EditImageForm`.

    `image` is one or several: `data:` URLs, addresses, files' ids, or the addresses of their content.
    """

    image: list[Base64Text]
    prompt: str
    model: str | None = None
    size: str | None = None
    n: int | None = None
    negative_prompt: str | None = None
    background: str | None = None
    metadata: Metadata | None = None


async def read_form(
    request: AnyRequest, kind: type[T], reshape: Callable[[dict[str, Any]], dict[str, Any]] = dict
) -> T:
    """The body. Raises `InvalidInput` with a reason that this face tells as 422."""
    try:
        return await read_json(request, kind, reshape=reshape)
    except (InvalidInput, InvalidPicture) as error:
        raise _of_the_body(error) from None


async def read_generation(request: AnyRequest) -> Generation:
    """The body of a generation. Raises `InvalidInput`."""
    form = await read_form(request, Generation, _without_empty)
    _check(form)
    return form


async def read_edit(request: AnyRequest) -> Edit:
    """The body of an edit. Raises `InvalidInput`."""
    form = await read_form(request, Edit, _listed)
    _check(form)
    if not 1 <= len(form.image) <= MAX_REFERENCES:
        raise InvalidInput(f"must be 1 to {MAX_REFERENCES} pictures", field="image", reason=BODY)
    return form


def chat_link(metadata: Metadata | None) -> ChatLink | None:
    """Where the picture belongs, if that was said."""
    if metadata is None or not metadata.chat_id:
        return None
    return ChatLink(metadata.chat_id, metadata.message_id)


def file_of(image: Base64Text) -> str | None:
    """The id of the file that is meant, by its id or the address of its content on whatever host; None: it is none."""
    found = _FILE.fullmatch(image.content) if isinstance(image.content, str) else None
    return found[1] if found else None


def _check(form: Generation | Edit) -> None:
    steps = form.steps if isinstance(form, Generation) else None
    for name, value, most in (("n", form.n, MAX_PICTURES), ("steps", steps, MAX_STEPS)):
        if value is not None and not 1 <= value <= most:
            raise InvalidInput(f"must be 1 to {most}", field=name, reason=BODY)
    for name, text in (("prompt", form.prompt), ("negative_prompt", form.negative_prompt)):
        if len(text or "") > MAX_PROMPT:
            raise InvalidInput(f"must be at most {MAX_PROMPT} characters", field=name, reason=BODY)
    link = form.metadata or Metadata()
    for name, text in (("chat_id", link.chat_id), ("message_id", link.message_id)):
        if len(text or "") > MAX_VALUE_LENGTH:
            raise InvalidInput(f"must be at most {MAX_VALUE_LENGTH} characters", field=f"metadata.{name}", reason=BODY)


def _of_the_body(error: InvalidInput | InvalidPicture) -> InvalidInput:
    return InvalidInput(error.message, **{**error.details, "reason": error.reason or BODY})


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """A field of the front end that nobody filled comes as null or as no text."""
    return {name: value for name, value in fields.items() if value is not None and (value != "" or name == "prompt")}


def _listed(fields: dict[str, Any]) -> dict[str, Any]:
    fields = _without_empty(fields)
    if isinstance(fields.get("image"), str):
        fields["image"] = [fields["image"]]
    return fields
