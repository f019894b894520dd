"""Input pictures in a JSON body: by address, in base64, or as a `data:` URL."""

from __future__ import annotations

from typing import Final

import pybase64
from msgspec import Struct

from app.http.base64_fields import Base64Text
from jobs.client.inputs import InputImage
from jobs.errors import InvalidPicture, PayloadTooLarge
from jobs.pictures.heads import EXTENSIONS
from jobs.pictures.sniff import MAX_BYTES

MAX_URL_LENGTH: Final = 2_048
MEDIA_TYPES: Final = ("image/png", "image/jpeg")
EXAMPLE_PICTURE: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A pixel, for descriptions of what may be sent."""


class ReferenceImage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A picture to start from: either `url`, `b64` or `fileId` (an uploaded file's), and what it is.

    An uploaded file needs no `mimeType`.
    """

    mime_type: str | None = None
    url: str | None = None
    b64: Base64Text | None = None
    file_id: str | None = None


class Mask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What to repaint, transparent there: `url`, `b64` or `fileId` of a PNG of the reference's size."""

    url: str | None = None
    b64: Base64Text | None = None
    file_id: str | None = None


def reference(image: ReferenceImage, field: str) -> InputImage:
    """A reference image as it was handed in. Raises `InvalidPicture`, `PayloadTooLarge`.

    One by address may be an answer of ours, in any format of a provider's: whose it is, is seen where it is taken.
    """
    if image.mime_type is None and image.file_id is None:
        raise InvalidPicture("is required", field=f"{field}.mimeType", reason="missing_field")
    if image.mime_type is not None and image.mime_type not in (MEDIA_TYPES if image.url is None else EXTENSIONS):
        raise InvalidPicture(f"must be {' or '.join(MEDIA_TYPES)}", field=f"{field}.mimeType")
    return _input_image(image, field, image.mime_type)


def mask(image: Mask, field: str = "mask") -> InputImage:
    """A mask as it was handed in; always a PNG. Raises `InvalidPicture`, `PayloadTooLarge`."""
    return _input_image(image, field, "image/png")


def pointed(picture: Base64Text, place: str) -> InputImage:
    """A picture by one text, as OpenAI's JSON has it: an address, or a base64 `data:` URL. Raises `InvalidPicture`."""
    text = picture.content
    if _head(text)[:5].lower() == b"data:":
        return InputImage(field=place, data=_data_url(text, place))
    url = bytes(text).decode(errors="replace") if isinstance(text, memoryview) else text
    if len(url) > MAX_URL_LENGTH:
        raise InvalidPicture(f"must be at most {MAX_URL_LENGTH} characters", field=place)
    return InputImage(field=place, url=url)


def _data_url(text: str | memoryview, place: str) -> bytes:
    """The bytes of a base64 `data:` URL (RFC 2397); the media type that it claims is not asked."""
    head = _head(text)
    begin = head.find(b",") + 1
    if not begin or not head[: begin - 1].lower().endswith(b";base64"):
        raise InvalidPicture("a data: URL must be data:image/…;base64,…", field=place)
    return decoded(text[begin:], place)


def _head(text: str | memoryview) -> bytes:
    begin = text[:_MAX_HEAD_LENGTH]
    return bytes(begin) if isinstance(begin, memoryview) else begin.encode(errors="replace")


def _input_image(image: ReferenceImage | Mask, field: str, media_type: str | None) -> InputImage:
    if (image.url, image.b64, image.file_id).count(None) != 2:  # noqa: PLR2004  # one of the three is given
        raise InvalidPicture("give either url, b64 or fileId", field=field)
    if image.file_id is not None:
        return InputImage(field=field, file_id=image.file_id)
    if image.url is None:
        text = Base64Text("") if image.b64 is None else image.b64
        return InputImage(field=field, media_type=media_type, data=_decoded(text.content, f"{field}.b64"))
    if len(image.url) > MAX_URL_LENGTH:
        raise InvalidPicture(f"must be at most {MAX_URL_LENGTH} characters", field=f"{field}.url")
    return InputImage(field=field, media_type=media_type, url=image.url)


def _decoded(text: str | memoryview, field: str) -> bytes:
    if bytes(text[:5]) == b"data:" if isinstance(text, memoryview) else text.startswith("data:"):
        raise InvalidPicture("must be base64 alone, without `data:…;base64,` before it", field=field)
    return decoded(text, field)


def decoded(text: str | memoryview, field: str) -> bytes:
    """Base64 (RFC 4648 section 4, padded, nothing else between). Raises `InvalidPicture`, `PayloadTooLarge`."""
    if len(text) > (MAX_BYTES + 2) // 3 * 4:
        raise PayloadTooLarge(f"a picture may have at most {MAX_BYTES} bytes", field=field, limit=MAX_BYTES)
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidPicture("is not base64", field=field) from None


_MAX_HEAD_LENGTH: Final = 256
"""Bytes in which the head of a `data:` URL ends."""
