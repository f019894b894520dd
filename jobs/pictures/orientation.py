"""EXIF orientation: how it is read, and how a picture that is stored on its side is turned upright."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

STRIP_PIXELS: Final = 1_000_000
"""Pixels that are turned and worked on at a time, at least one row."""

_TAG: Final = 0x0112
_TURNS: Final = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""Pillow's names of what makes a picture of an orientation upright."""
_FROM_THE_END: Final = frozenset({3, 4, 7, 8})
"""Orientations whose upright rows begin at the last row or column as stored."""


def orientation_of(exif: bytes) -> int:
    """Tag 0x0112 of the first directory (TIFF 6.0), 1 to 8; anything unreadable is 1. It begins with TIFF's header."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    try:
        if order is None:
            return 1
        (offset,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, offset)
        for entry in range(min(count, 200)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, offset + 2 + 12 * entry)
            if tag == _TAG and kind == 3 and 1 <= value <= 8:
                return int(value)
    except struct.error:
        return 1
    return 1


def lies_on_its_side(orientation: int) -> bool:
    """Whether rows and columns change places when it is turned upright."""
    return orientation >= 5


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """The size in which people see a picture that is stored in another."""
    return (size[1], size[0]) if lies_on_its_side(orientation) else size


class Stored(Protocol):
    """A picture as it is stored."""

    def crop(self, box: tuple[int, int, int, int], /) -> Image.Image:
        """A part of it: left, top, right and bottom."""


def upright_strips(
    stored: Stored, size: tuple[int, int], orientation: int, rows: int | None = None
) -> Iterator[Image.Image]:
    """A stored picture of this size as people see it, from its top: so many rows at a time, or as few as are swift."""
    width, height = upright_size(size, orientation)
    step = rows or max(1, STRIP_PIXELS // width)
    for top in range(0, height, step):
        yield upright(stored.crop(stored_box(size, orientation, top, min(height, top + step))), orientation)


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture as people see it."""
    from PIL import Image

    return picture.transpose(Image.Transpose[_TURNS[orientation]]) if orientation in _TURNS else picture


def stored_box(size: tuple[int, int], orientation: int, top: int, bottom: int) -> tuple[int, int, int, int]:
    """Where the rows from `top` to `bottom` of the upright picture lie in the stored one of this size."""
    width, height = size
    along = width if lies_on_its_side(orientation) else height
    if orientation in _FROM_THE_END:
        top, bottom = along - bottom, along - top
    return (top, 0, bottom, height) if lies_on_its_side(orientation) else (0, top, width, bottom)
