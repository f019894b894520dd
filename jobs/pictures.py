"""What bytes are a picture, of which kind and size. The type is what the bytes say, never what was declared."""

from __future__ import annotations

import io
import warnings
from typing import Final

from msgspec import Struct

EXTENSIONS: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
"""The kinds of picture that we keep, and how their names end."""
MOST_PIXELS: Final = 50_000_000


class NotAPicture(ValueError):
    """The bytes are no picture that we keep."""


class Measured(Struct, frozen=True):
    """A picture's kind and its stored size in pixels."""

    media_type: str
    width: int
    height: int


def sniff(head: bytes) -> str | None:
    """The media type that the first 12 bytes show, or None."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def measure(data: bytes) -> Measured:
    """Kind and size, read from the header alone: nothing is decoded. Raises `NotAPicture`."""
    media_type = sniff(data[:12])
    if media_type is None:
        raise NotAPicture("neither PNG nor JPEG nor WebP")
    from PIL import Image  # noqa: PLC0415  # the API process never measures

    form = media_type.removeprefix("image/").upper()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=(form,)) as picture:
                width, height = picture.size
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        raise NotAPicture(f"its {form} header cannot be read") from error
    if width * height > MOST_PIXELS:
        raise NotAPicture(f"{width}x{height} is more than {MOST_PIXELS} pixels")
    return Measured(media_type, width, height)
