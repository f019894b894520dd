"""What bytes are a picture, and the gate that a stranger's picture passes before anything else touches it.

What is decided for each kind (a picture that passes is safe to decode and to send on, upright, and in sRGB):

| kind | done |
|---|---|
| PNG, any colour type and depth, interlaced or not | taken, stripped of text, profiles and all that makes no pixel |
| animated PNG or WebP | its first picture |
| JPEG: baseline, extended, progressive; grey or colour | taken, stripped likewise |
| EXIF orientation; a profile (ICC) that is seen to differ from sRGB | turned upright, made sRGB: a JPEG stays one |
| JPEG in CMYK | made RGB, kept as PNG |
| WebP | re-made as PNG, where the face takes WebP |
| bytes after the end (polyglots), between JPEG segments, after a PNG's pixels | dropped |
| a chunk of a PNG that makes no pixel, and whose checksum is wrong | dropped |
| JPEG without its end, but with all of its pixels | taken |
| truncated, damaged, checksum wrong, more or fewer pixels than it says, over 50 megapixels, over 200 scans | refused |
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jobs.pictures.colours import conversion, to_srgb
from jobs.pictures.convert import converted
from jobs.pictures.jpeg import BadJpeg, Jpeg, read_jpeg
from jobs.pictures.jpeg_remaking import remade
from jobs.pictures.orientation import orientation_of, upright_size, upright_strips
from jobs.pictures.png import BadPng, Png, read_png
from jobs.pictures.png_making import png_of
from jobs.pictures.sniff import ANY_PIXELS, MAX_BYTES, MAX_OWN_PIXELS, MAX_PIXELS, NotAPicture, measure, opened, sniff

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

PNG_AND_JPEG: Final = frozenset({"image/png", "image/jpeg"})


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
    return _READERS[media_type](data, MAX_PIXELS)


def validate_own(data: bytes) -> CleanPicture:
    """A picture that we issued, fit to be sent, whatever its size. Blocks. Raises `NotAPicture`.

    What the gate would refuse is taken as Pillow reads it. What has to be decoded has at most 100 megapixels.
    """
    reader = _READERS.get(sniff(data[:12]) or "")
    try:
        if reader is not None:
            return reader(data, ANY_PIXELS)
    except NotAPicture:
        pass
    made = converted(data, "image/png", 100)
    size = measure(made, MAX_OWN_PIXELS)
    return CleanPicture(made, size.media_type, size.width, size.height)


def validate_mask(data: bytes, size: tuple[int, int] | None) -> CleanPicture:
    """A mask as 8-bit RGBA PNG with something to repaint; `size` is the reference's, None where it is not known yet.

    Blocks. Raises `NotAPicture`.
    """
    if len(data) > MAX_BYTES:
        raise NotAPicture(f"it is larger than {MAX_BYTES} bytes")
    if sniff(data[:12]) != "image/png":
        raise NotAPicture("it must be a PNG")
    png = _strict_png(data, MAX_PIXELS)
    if not png.alpha:
        raise NotAPicture("it must have an alpha channel: transparent pixels mark what is repainted")
    sides = upright_size((png.width, png.height), png.orientation)
    if size is not None and size != sides:
        raise NotAPicture(f"it is {sides[0]}x{sides[1]}, the reference image {size[0]}x{size[1]}")
    with opened(png.data, "image/png") as stored:
        alphas = (_in_rgba(strip).getchannel("A") for strip in upright_strips(stored, stored.picture.size, 1))
        if all(alpha.getextrema()[0] for alpha in alphas):
            raise NotAPicture("none of its pixels is transparent: nothing would be repainted")
        return _as_png(stored, png.orientation, _in_rgba)


def _read_png(data: bytes, most_pixels: int) -> CleanPicture:
    png = _strict_png(data, most_pixels)
    if png.orientation == 1 and not png.profile:
        return CleanPicture(png.data, "image/png", png.width, png.height)
    with opened(png.data, "image/png", load=False) as stored:
        convert = conversion(stored.picture, png.profile)
        if png.orientation == 1 and convert is None:
            return CleanPicture(png.data, "image/png", png.width, png.height)
        return _as_png(stored, png.orientation, convert or _as_it_is)


def _read_jpeg(data: bytes, most_pixels: int) -> CleanPicture:
    try:
        jpeg = read_jpeg(data, most_pixels)
    except BadJpeg as error:
        raise NotAPicture(str(error)) from None
    if jpeg.missing is not None and len({_pixels(jpeg.data[:-2] + ending) for ending in jpeg.missing}) != 1:
        raise NotAPicture("it is truncated")
    if jpeg.components == 4:
        with opened(jpeg.data, "image/jpeg") as stored:
            return _as_png(stored, jpeg.orientation, conversion(stored.picture, jpeg.profile) or _in_rgb)
    transform = to_srgb(jpeg.profile, "L" if jpeg.components == 1 else "RGB")
    if jpeg.orientation == 1 and transform is None:
        with opened(jpeg.data, "image/jpeg", draft=("L", 8)):  # all of its data is read, an eighth of it put together
            return _as_jpeg(jpeg, jpeg.data)
    return _as_jpeg(jpeg, remade(jpeg, transform))


def _pixels(data: bytes) -> bytes:
    """A digest of them."""
    digest = hashlib.sha256()
    with opened(data, "image/jpeg") as stored:
        for strip in upright_strips(stored, stored.picture.size, 1):
            digest.update(strip.tobytes())
    return digest.digest()


def _as_jpeg(jpeg: Jpeg, data: bytes) -> CleanPicture:
    return CleanPicture(data, "image/jpeg", *upright_size((jpeg.width, jpeg.height), jpeg.orientation))


def _read_webp(data: bytes, most_pixels: int) -> CleanPicture:
    with opened(data, "image/webp", most_pixels=min(most_pixels, MAX_OWN_PIXELS)) as stored:
        exif = stored.picture.info.get("exif", b"").removeprefix(b"Exif\0\0")
        plain = _in_rgba if stored.picture.has_transparency_data else _in_rgb
        convert = conversion(stored.picture, stored.picture.info.get("icc_profile") or b"")
        return _as_png(stored, orientation_of(exif), convert or plain)


_READERS: Final = {"image/png": _read_png, "image/jpeg": _read_jpeg, "image/webp": _read_webp}


def _strict_png(data: bytes, most_pixels: int) -> Png:
    try:
        return read_png(data, most_pixels)
    except BadPng as error:
        raise NotAPicture(str(error)) from None


def _as_png(stored: opened, orientation: int, made: Callable[[Image.Image], Image.Image]) -> CleanPicture:
    """The picture upright; `made` makes each strip what it is to be."""
    width, height = upright_size(stored.picture.size, orientation)
    strips = upright_strips(stored, stored.picture.size, orientation)
    return CleanPicture(png_of(map(made, strips), height), "image/png", width, height)


def _as_it_is(strip: Image.Image) -> Image.Image:
    return strip


def _in_rgb(strip: Image.Image) -> Image.Image:
    return strip.convert("RGB")


def _in_rgba(strip: Image.Image) -> Image.Image:
    return strip.convert("RGBA")


def _listed(taken: frozenset[str]) -> str:
    return " or ".join(sorted(t.removeprefix("image/").upper() for t in taken))
