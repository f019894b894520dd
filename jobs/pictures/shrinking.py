"""A reference image in as many bytes as its provider takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from jobs.pictures.canvas import Canvas, painted
from jobs.pictures.colours import in_eight_bits
from jobs.pictures.orientation import upright_strips
from jobs.pictures.sniff import NotAPicture, opened, sniff

if TYPE_CHECKING:
    from PIL import Image

QUALITIES: Final = (95, 85, 75)
"""What is tried before there are fewer pixels."""
MAX_WEBP_PIXELS: Final = 12_500_000
"""Of a WebP that is made: its encoder holds all of them, and takes a second for four million."""


def smaller(data: bytes, most_bytes: int) -> tuple[bytes, str, int, int]:
    """The picture as JPEG, or WebP where it has alpha, with its media type, width and height. Blocks.

    It loses quality first, which is not seen, then half of its width and height again and again. Raises `NotAPicture`.
    """
    with opened(data, sniff(data[:12]) or "") as stored:
        size = stored.picture.size
        plain = painted(map(_plain, upright_strips(stored, size, 1)), size)
    form = "WEBP" if plain.image.mode == "RGBA" else "JPEG"
    for candidate, quality in _candidates(plain):
        if form == "WEBP" and math.prod(candidate.image.size) > MAX_WEBP_PIXELS:
            continue
        try:
            made = candidate.encoded(form, quality=quality)
        except (OSError, ValueError):  # of too many pixels a side
            continue
        if len(made) <= most_bytes:
            return made, f"image/{form.lower()}", *candidate.image.size
    raise NotAPicture(f"it cannot be made to fit in {most_bytes} bytes")


def _plain(strip: Image.Image) -> Image.Image:
    eight = in_eight_bits(strip)
    return eight.convert("RGBA" if eight.has_transparency_data else "RGB")


def _candidates(picture: Canvas) -> Iterator[tuple[Canvas, int]]:
    for quality in QUALITIES:
        yield picture, quality
    while min(picture.image.size) > 1:
        picture = picture.halved()
        yield picture, QUALITIES[1]
