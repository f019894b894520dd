"""Making a picture another format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs.pictures.canvas import Canvas, painted
from jobs.pictures.colours import conversion, in_eight_bits
from jobs.pictures.heads import kind_of
from jobs.pictures.orientation import upright_size, upright_strips
from jobs.pictures.sniff import FORMATS, NotAPicture, opened, pillow

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION: Final = 0x0112


def converted(data: bytes, media_type: str, quality: int) -> bytes:
    """The same picture as another media type of ours, upright and in sRGB.

    `quality` is that of JPEG and WebP, 0 to 100.
    JPEG has no alpha: what is transparent becomes white. Blocks. Raises `NotAPicture`, also for a picture that the
    other kind cannot hold (WebP: 16,383 pixels a side).
    """
    kind = kind_of(data[:1024])
    if kind not in FORMATS:
        raise NotAPicture("it is of no kind that is decoded")
    with opened(data, kind) as stored:
        plain, profile = _plain(stored, media_type)
    options = (
        {"compress_level": 3} if media_type == "image/png" else {"quality": max(1, quality)}
    )  # JPEG's 0 is a default
    try:
        return plain.encoded(media_type.removeprefix("image/").upper(), icc_profile=profile or None, **options)
    except (OSError, ValueError) as error:
        raise NotAPicture(f"it cannot be made {media_type}") from error


def _plain(stored: opened, media_type: str) -> tuple[Canvas, bytes]:
    """The picture as that media type can hold it, and the profile that goes along: it is sRGB's own."""
    picture = stored.picture
    profile = picture.info.get("icc_profile") or b""
    convert = conversion(picture, profile)

    def made(strip: Image.Image) -> Image.Image:
        eight = in_eight_bits(strip if convert is None else convert(strip))
        if not eight.has_transparency_data:
            return eight.convert("RGB")
        return _on_white(eight.convert("RGBA")) if media_type == "image/jpeg" else eight.convert("RGBA")

    orientation = picture.getexif().get(_ORIENTATION, 1)
    strips = map(made, upright_strips(stored, picture.size, orientation))
    along = profile if convert is None and picture.mode in {"RGB", "RGBA", "P"} else b""
    return painted(strips, upright_size(picture.size, orientation)), along


def _on_white(picture: Image.Image) -> Image.Image:
    white = pillow().new("RGBA", picture.size, "white")
    flat: Image.Image = pillow().alpha_composite(white, picture).convert("RGB")
    return flat
