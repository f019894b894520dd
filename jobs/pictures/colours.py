"""Colours as their profile (ICC.1) means them, made those of sRGB."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Final

from jobs.pictures.sniff import pillow

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image, ImageCms

MAX_PROFILE_BYTES: Final = 4 * 1024 * 1024
"""Of a profile that is read; those of presses have up to 2.5 MB. One that is larger is dropped unread."""
PROFILE_HEAD_BYTES: Final = 40
"""How much of a profile `declared_size` needs."""
MAX_UNSEEN: Final = 2
"""Differences from sRGB of at most so many of 255 are not worth making the picture anew."""

_SPACES: Final = {"RGB": b"RGB ", "RGBA": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK"}
"""The colour space that a profile must be of, by the mode of its picture."""


def declared_size(head: bytes) -> int:
    """How many bytes a profile says that it has; 0 for what is no profile that we read."""
    if len(head) < PROFILE_HEAD_BYTES or head[36:40] != b"acsp":
        return 0
    (size,) = struct.unpack_from(">I", head)
    return int(size) if size <= MAX_PROFILE_BYTES else 0


def to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What makes pictures of a mode sRGB; None where nothing is to be done.

    That is so without a profile, with one that does not fit or cannot be read, and with one that is sRGB itself.
    """
    if not declared_size(profile[:PROFILE_HEAD_BYTES]) or profile[16:20] != _SPACES.get(mode):
        return None
    from PIL import ImageCms

    made = "RGBA" if mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, made)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return transform if _is_seen(transform, mode) else None


def convert(picture: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    """The picture in sRGB; one in grey stays so."""
    made = transform.apply(picture)
    return made.convert("L") if picture.mode == "L" else made


def conversion(picture: Image.Image, profile: bytes) -> Callable[[Image.Image], Image.Image] | None:
    """What makes parts of a picture of any mode sRGB, of 8 bits; None where nothing is to be done."""
    mode = _plain_mode(picture)
    transform = to_srgb(profile, "L" if mode == "LA" else mode)
    if transform is None:
        return None

    def converted(part: Image.Image) -> Image.Image:
        eight = in_eight_bits(part)
        plain = eight if eight.mode == mode else eight.convert(mode)
        if mode != "LA":
            return convert(plain, transform)
        grey = convert(plain.getchannel("L"), transform)
        grey.putalpha(plain.getchannel("A"))
        return grey

    return converted


def in_eight_bits(picture: Image.Image) -> Image.Image:
    """The picture; grey of 16 bits scaled to 8, of which Pillow would cut off what is above 255.

    Its transparent colour is left out: Pillow compares it with samples of another depth.
    """
    if not picture.mode.startswith("I"):
        return picture
    grey = picture.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    grey.info.pop("transparency", None)
    return grey


def _plain_mode(picture: Image.Image) -> str:
    if picture.mode == "CMYK":
        return "CMYK"
    if picture.mode.startswith("I"):
        return "L"
    grey = picture.mode[:1] in {"L", "1"}
    return ("L" if grey else "RGB") + ("A" if picture.has_transparency_data else "")


def _is_seen(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Tried with every grey, or with 4,096 colours."""
    if mode == "CMYK":
        return True
    if mode == "L":
        samples = pillow().frombytes("L", (256, 1), bytes(range(256)))
        apart = (transform.apply(samples), samples.convert("RGB"))
    else:
        steps = bytes(range(0, 256, 17))
        cube = bytes(value for r in steps for g in steps for b in steps for value in (r, g, b))
        samples = pillow().frombytes("RGB", (64, 64), cube).convert(mode)
        apart = (transform.apply(samples).convert("RGB"), samples.convert("RGB"))
    return max(map(_apart, *(picture.tobytes() for picture in apart))) > MAX_UNSEEN


def _apart(one: int, other: int) -> int:
    return abs(one - other)
