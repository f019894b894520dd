"""What a page sends: a prompt and several pictures, each by an address or as it is, or one as a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from app.http.base64_fields import Base64Text
from app.http.input_images import decoded, pointed
from app.http.multipart import Part
from jobs.client.inputs import InputImage
from jobs.errors import InvalidInput

NO_IMAGES: Final = "No images provided"
NO_PROMPT: Final = "No prompt provided"
NO_FILE: Final = "No file provided"


class PageImage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body. A picture is an http or https URL, a `data:` URL, or base64 alone."""

    images: list[Base64Text] = []
    prompt: str = ""


def image_inputs(body: PageImage) -> tuple[InputImage, ...]:
    """The pictures of a body that has some, and a prompt. Raises `DarkroomError` naming the field."""
    if not body.images:
        raise InvalidInput(NO_IMAGES)
    if not body.prompt:
        raise InvalidInput(NO_PROMPT)
    return tuple(_input(picture, f"images[{place}]") for place, picture in enumerate(body.images))


def uploaded(parts: Sequence[Part]) -> Part:
    """The one file of a form. Raises `InvalidInput`."""
    files = [part for part in parts if part.name == "file" and part.text is None]
    if len(files) != 1 or not files[0].data:
        raise InvalidInput(NO_FILE)
    return files[0]


def _input(picture: Base64Text, place: str) -> InputImage:
    head = bytes(picture.content[:8]) if isinstance(picture.content, memoryview) else picture.content[:8].encode()
    if head.lower().startswith((b"data:", b"http://", b"https://")):
        return replace(pointed(picture, place), anywhere=True)
    return InputImage(field=place, data=decoded(picture.content, place))
