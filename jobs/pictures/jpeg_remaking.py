"""A JPEG made anew, upright and in sRGB, strip by strip: a photo of 48 megapixels takes a second or two."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from jobs.pictures import colours
from jobs.pictures.jpeg import Jpeg, stitched
from jobs.pictures.orientation import STRIP_PIXELS, Stored, lies_on_its_side, upright_size, upright_strips
from jobs.pictures.sniff import NotAPicture, opened, pillow

if TYPE_CHECKING:
    from PIL import Image, ImageCms

QUALITY: Final = 95
"""Of a picture whose own tables are not meant for luma and chroma."""

_SAMPLINGS: Final = {"111111": 0, "211111": 1, "221111": 2}
"""Pillow's numbers of 4:4:4, 4:2:2 and 4:2:0, by the components' sampling factors, horizontal and vertical."""
_BLOCKS: Final = {0: (8, 8), 1: (16, 8), 2: (16, 16)}
"""Width and height of a group of blocks (MCU) in pixels."""


def remade(jpeg: Jpeg, transform: ImageCms.ImageCmsTransform | None) -> bytes:
    """The picture upright, by its own quantisation tables (turned with it), its colours put through `transform`.

    Raises `NotAPicture`.
    """
    coding = _coding(jpeg)
    stored = _stored(jpeg, coding)
    width, height = upright_size((jpeg.width, jpeg.height), jpeg.orientation)
    across, tall = coding.block
    columns = -(-width // across)
    rows = max(1, min(65_535 // columns, STRIP_PIXELS // (width * tall)))  # DRI has 16 bits

    def strips() -> Iterator[bytes]:
        for strip in upright_strips(stored, (jpeg.width, jpeg.height), jpeg.orientation, rows * tall):
            if transform is not None:
                plain = strip if strip.mode == "L" else strip.convert("RGB")
                yield coding.encoded(colours.convert(plain, transform))
            else:
                yield coding.encoded(strip)

    return stitched(strips(), height, rows * columns)


class _Coding(Struct, frozen=True):
    """How a JPEG is encoded: Pillow's options for it, and the size of a group of blocks."""

    options: dict[str, Any]
    block: tuple[int, int]

    def encoded(self, picture: Image.Image) -> bytes:
        out = io.BytesIO()
        picture.save(out, "JPEG", **self.options)
        return out.getvalue()


def _coding(jpeg: Jpeg) -> _Coding:
    if jpeg.rgb:
        return _Coding({"quality": QUALITY, "subsampling": 0}, _BLOCKS[0])
    layers, tables = _layout(jpeg)
    if not {table for *_, table in layers} <= tables.keys():
        raise NotAPicture("its JPEG data cannot be read")
    used = [[min(value, 255) for value in tables[table]] for *_, table in layers]
    if lies_on_its_side(jpeg.orientation):
        used = [[table[8 * (k % 8) + k // 8] for k in range(64)] for table in used]
    if len(layers) == 1:
        return _Coding({"qtables": used}, _BLOCKS[0])
    sampling = _SAMPLINGS.get("".join(f"{across}{down}" for _, across, down, _ in layers), 0)
    if sampling == 1 and lies_on_its_side(jpeg.orientation):
        sampling = 0  # Pillow does not halve the rows alone
    return _Coding({"qtables": used, "subsampling": sampling}, _BLOCKS[sampling])


def _layout(jpeg: Jpeg) -> tuple[list[tuple[int, int, int, int]], dict[int, list[int]]]:
    """Each component's name, sampling factors and table; and the tables."""
    from PIL.JpegImagePlugin import JpegImageFile

    with opened(jpeg.data, "image/jpeg", load=False) as stored:
        if not isinstance(stored.picture, JpegImageFile):
            raise NotAPicture("it is of a kind that is not taken")
        return stored.picture.layer, stored.picture.quantization


class _Planes:
    """A picture whose chroma has half its width and height: half as many bytes as when it is whole.

    Each of its pixels has the chroma that its encoder stored, so that nothing is lost when it is stored again.
    """

    def __init__(self, data: bytes) -> None:
        self._half = opened(data, "image/jpeg", draft=("YCbCr", 2))  # at this size libjpeg leaves chroma as it is
        self._luma = opened(data, "image/jpeg", draft=("L", 1))

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """A part of the picture, in YCbCr."""
        left, top, right, bottom = box
        halves = (left // 2, top // 2, (right + 1) // 2, (bottom + 1) // 2)
        size = (2 * (halves[2] - halves[0]), 2 * (halves[3] - halves[1]))
        within = (left % 2, top % 2, left % 2 + right - left, top % 2 + bottom - top)
        chroma = [c.resize(size, pillow().Resampling.NEAREST).crop(within) for c in self._half.crop(halves).split()[1:]]
        merged: Image.Image = pillow().merge("YCbCr", (self._luma.crop(box), *chroma))
        return merged


def _stored(jpeg: Jpeg, coding: _Coding) -> Stored:
    if coding.options.get("subsampling") == 2 and min(jpeg.width, jpeg.height) >= 16:
        return _Planes(jpeg.data)
    mode = "YCbCr" if "qtables" in coding.options and jpeg.components == 3 else None
    return opened(jpeg.data, "image/jpeg", draft=(mode, 1))
