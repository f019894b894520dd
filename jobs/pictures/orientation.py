"""EXIF orientation: how it is read, and how a picture that is stored on its side is turned upright."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL import Image

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
