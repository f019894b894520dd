"""A reference image in as many bytes as its provider takes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from jobs.pictures.colours import in_eight_bits
from jobs.pictures.sniff import NotAPicture, opened, sniff

if TYPE_CHECKING:
    from PIL import Image

QUALITIES: Final = (95, 85, 75)
"""What is tried before there are fewer pixels."""


def smaller(data: bytes, most_bytes: int) -> tuple[bytes, str, int, int]:
    """The picture as JPEG, or WebP where it has alpha, with its media type, width and height. Blocks.

    It loses quality first, which is not seen, then half of its width and height again and again. Raises `NotAPicture`.
    """
    with opened(data, sniff(data[:12]) or "") as picture:
        eight = in_eight_bits(picture)
        clear = eight.has_transparency_data
        plain = eight.convert("RGBA" if clear else "RGB")
    form = "WEBP" if clear else "JPEG"
    for candidate, quality in _candidates(plain):
        out = io.BytesIO()
        try:
            candidate.save(out, form, quality=quality)
        except (OSError, ValueError):  # of too many pixels a side
            continue
        if out.tell() <= most_bytes:
            return out.getvalue(), f"image/{form.lower()}", *candidate.size
    raise NotAPicture(f"it cannot be made to fit in {most_bytes} bytes")


def _candidates(picture: Image.Image) -> Iterator[tuple[Image.Image, int]]:
    for quality in QUALITIES:
        yield picture, quality
    while min(picture.size) > 1:
        picture = picture.reduce(2)
        yield picture, QUALITIES[1]
