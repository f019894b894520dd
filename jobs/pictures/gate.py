"""What bytes are a picture, and the gate that a stranger's picture passes before anything else touches it.

What is decided for each kind (a picture that passes is safe to decode and to send on):

| kind | done |
|---|---|
| PNG, any colour type and depth, interlaced or not | taken, stripped of text, profiles and all that makes no pixel |
| animated PNG | its default image |
| JPEG: baseline, extended, progressive; grey or colour | taken, stripped likewise |
| JPEG with an EXIF orientation, or in CMYK | turned upright, made RGB, kept as PNG: sizes are what people see |
| WebP of one frame | re-made as PNG, where the face takes WebP |
| bytes after the end (polyglots) | dropped |
| truncated, damaged, checksum wrong, more or fewer pixels than it says, over 50 megapixels, over 200 scans | refused |
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jobs.pictures.jpeg import BadJpeg, read_jpeg
from jobs.pictures.png import BadPng, Png, read_png
from jobs.pictures.sniff import MAX_BYTES, MAX_PIXELS, NotAPicture, opened, sniff

if TYPE_CHECKING:
    from PIL import Image

PNG_AND_JPEG: Final = frozenset({"image/png", "image/jpeg"})

_ORIENTATION: Final = 0x0112
"""EXIF's tag of it."""


class CleanPicture(Struct, frozen=True):
    """A picture that passed the gate, as it will be stored and sent."""

    data: bytes
    media_type: str
    width: int
    height: int


def validate(data: bytes, declared: str | None, taken: frozenset[str] = PNG_AND_JPEG) -> CleanPicture:
    """Let a stranger's picture in, or say why not. Blocks for as long as decoding takes: call it in a thread.

    `declared` is the media type that the sender claims (None: no claim). Raises `NotAPicture`.
    """
    if len(data) > MAX_BYTES:
        raise NotAPicture(f"it is larger than {MAX_BYTES} bytes")
    media_type = sniff(data[:12])
    if media_type is None or media_type not in taken:
        raise NotAPicture(f"it is not {_listed(taken)}")
    if declared is not None and media_type != declared:
        raise NotAPicture(f"it is {media_type}, not the declared {declared}")
    return _READERS[media_type](data)


def validate_mask(data: bytes, size: tuple[int, int] | None) -> CleanPicture:
    """A mask as 8-bit RGBA PNG with something to repaint; `size` is the reference's, None where it is not known yet.

    Blocks. Raises `NotAPicture`.
    """
    if len(data) > MAX_BYTES:
        raise NotAPicture(f"it is larger than {MAX_BYTES} bytes")
    if sniff(data[:12]) != "image/png":
        raise NotAPicture("it must be a PNG")
    png = _strict_png(data)
    if not png.alpha:
        raise NotAPicture("it must have an alpha channel: transparent pixels mark what is repainted")
    if size not in {None, (png.width, png.height)}:
        raise NotAPicture(f"it is {png.width}x{png.height}, the reference image {size[0]}x{size[1]}")
    with opened(png.data, "image/png") as picture:
        rgba = picture.convert("RGBA")
    if rgba.getchannel("A").getextrema()[0] != 0:
        raise NotAPicture("none of its pixels is transparent: nothing would be repainted")
    return _as_png(rgba)


def _read_png(data: bytes) -> CleanPicture:
    png = _strict_png(data)
    with opened(png.data, "image/png"):
        return CleanPicture(png.data, "image/png", png.width, png.height)


def _read_jpeg(data: bytes) -> CleanPicture:
    from PIL import ImageOps

    try:
        jpeg = read_jpeg(data, MAX_PIXELS)
    except BadJpeg as error:
        raise NotAPicture(str(error)) from None
    with opened(jpeg.data, "image/jpeg") as picture:
        cmyk = jpeg.components == 4
        if jpeg.orientation == 1 and not cmyk:
            return CleanPicture(jpeg.data, "image/jpeg", jpeg.width, jpeg.height)
        picture.getexif()[_ORIENTATION] = jpeg.orientation
        upright = ImageOps.exif_transpose(picture)
        return _as_png(upright.convert("RGB") if cmyk else upright)


def _read_webp(data: bytes) -> CleanPicture:
    with opened(data, "image/webp") as picture:
        if getattr(picture, "n_frames", 1) != 1:
            raise NotAPicture("it is an animation")
        return _as_png(picture.convert("RGBA" if picture.has_transparency_data else "RGB"))


_READERS: Final = {"image/png": _read_png, "image/jpeg": _read_jpeg, "image/webp": _read_webp}


def _strict_png(data: bytes) -> Png:
    try:
        return read_png(data, MAX_PIXELS)
    except BadPng as error:
        raise NotAPicture(str(error)) from None


def _as_png(picture: Image.Image) -> CleanPicture:
    out = io.BytesIO()
    picture.info.clear()
    picture.save(out, "PNG", compress_level=3)
    return CleanPicture(out.getvalue(), "image/png", picture.width, picture.height)


def _listed(taken: frozenset[str]) -> str:
    return " or ".join(sorted(t.removeprefix("image/").upper() for t in taken))
