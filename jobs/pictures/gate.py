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

import asyncio
import functools
import io
import sys
import warnings
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jobs.pictures.jpeg import BadJpeg, read_jpeg
from jobs.pictures.png import BadPng, Png, read_png

if TYPE_CHECKING:
    from types import ModuleType

    from PIL import Image

EXTENSIONS: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
"""The kinds of picture that we keep, and how their names end."""
MOST_BYTES: Final = 20 * 1024 * 1024
MOST_PIXELS: Final = 50_000_000
PNG_AND_JPEG: Final = frozenset({"image/png", "image/jpeg"})


class NotAPicture(ValueError):
    """The bytes are no picture that we keep; the text says why, fit for the caller."""


class Measured(Struct, frozen=True):
    """A picture's kind and its stored size in pixels."""

    media_type: str
    width: int
    height: int


class Admitted(Struct, frozen=True):
    """A picture that passed the gate, as it will be stored and sent."""

    data: bytes
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
    with _opened(data, media_type, load=False) as picture:
        return Measured(media_type, *picture.size)


def admit(data: bytes, declared: str | None, taken: frozenset[str] = PNG_AND_JPEG) -> Admitted:
    """Let a stranger's picture in, or say why not. Blocks for as long as decoding takes: call it in a thread.

    `declared` is the media type that the sender claims (None: no claim). Raises `NotAPicture`.
    """
    if len(data) > MOST_BYTES:
        raise NotAPicture(f"it is larger than {MOST_BYTES} bytes")
    media_type = sniff(data[:12])
    if media_type is None or media_type not in taken:
        raise NotAPicture(f"it is not {_listed(taken)}")
    if declared is not None and media_type != declared:
        raise NotAPicture(f"it is {media_type}, not the declared {declared}")
    return _READERS[media_type](data)


def admit_mask(data: bytes, size: tuple[int, int] | None) -> Admitted:
    """A mask as 8-bit RGBA PNG with something to repaint; `size` is the reference's, None where it is not known yet.

    Blocks. Raises `NotAPicture`.
    """
    if len(data) > MOST_BYTES:
        raise NotAPicture(f"it is larger than {MOST_BYTES} bytes")
    if sniff(data[:12]) != "image/png":
        raise NotAPicture("it must be a PNG")
    png = _strict_png(data)
    if not png.alpha:
        raise NotAPicture("it must have an alpha channel: transparent pixels mark what is repainted")
    if size not in {None, (png.width, png.height)}:
        raise NotAPicture(f"it is {png.width}x{png.height}, the reference image {size[0]}x{size[1]}")
    with _opened(png.data, "image/png") as picture:
        rgba = picture.convert("RGBA")
    if rgba.getchannel("A").getextrema()[0] != 0:
        raise NotAPicture("none of its pixels is transparent: nothing would be repainted")
    return _as_png(rgba)


def converted(data: bytes, media_type: str, quality: int) -> bytes:
    """The same picture as another media type of ours, upright; `quality` is that of JPEG and WebP, 0 to 100.

    JPEG has no alpha: what is transparent becomes white. Blocks. Raises `NotAPicture`, also for a picture that the
    other kind cannot hold (WebP: 16,383 pixels a side).
    """
    from PIL import ImageOps  # noqa: PLC0415

    kind = sniff(data[:12])
    if kind is None:
        raise NotAPicture("neither PNG nor JPEG nor WebP")
    with _opened(data, kind) as picture:
        upright = ImageOps.exif_transpose(picture)
        clear = upright.has_transparency_data
        plain = upright.convert("RGBA" if clear else "RGB")
        profile = upright.info.get("icc_profile") if upright.mode in {"RGB", "RGBA", "P"} else None
    if clear and media_type == "image/jpeg":
        white = _pillow().new("RGBA", plain.size, "white")
        plain = _pillow().alpha_composite(white, plain).convert("RGB")
    out = io.BytesIO()
    how = {"compress_level": 3} if media_type == "image/png" else {"quality": max(1, quality)}  # JPEG's 0 is a default
    try:
        plain.save(out, media_type.removeprefix("image/").upper(), icc_profile=profile, **how)
    except (OSError, ValueError) as error:
        raise NotAPicture(f"it cannot be made {media_type}") from error
    return out.getvalue()


async def converted_apart(data: bytes, media_type: str, quality: int) -> bytes:
    """See `converted`: in a process of its own, for a picture of which this one is not to die. Takes longer."""
    words = ("-m", __spec__.name, media_type, str(quality))
    child = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    try:
        made, said = await child.communicate(data)
    finally:
        if child.returncode is None:
            child.kill()
    if child.returncode != 0:
        why = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise NotAPicture(f"its conversion ended with {child.returncode}: {why}")
    return made


def _read_png(data: bytes) -> Admitted:
    png = _strict_png(data)
    with _opened(png.data, "image/png"):
        return Admitted(png.data, "image/png", png.width, png.height)


def _read_jpeg(data: bytes) -> Admitted:
    from PIL import ImageOps  # noqa: PLC0415

    try:
        jpeg = read_jpeg(data, MOST_PIXELS)
    except BadJpeg as error:
        raise NotAPicture(str(error)) from None
    with _opened(jpeg.data, "image/jpeg") as picture:
        cmyk = jpeg.components == 4  # noqa: PLR2004
        if jpeg.orientation == 1 and not cmyk:
            return Admitted(jpeg.data, "image/jpeg", jpeg.width, jpeg.height)
        picture.getexif()[_ORIENTATION] = jpeg.orientation
        upright = ImageOps.exif_transpose(picture)
        return _as_png(upright.convert("RGB") if cmyk else upright)


def _read_webp(data: bytes) -> Admitted:
    with _opened(data, "image/webp") as picture:
        if getattr(picture, "n_frames", 1) != 1:
            raise NotAPicture("it is an animation")
        return _as_png(picture.convert("RGBA" if picture.has_transparency_data else "RGB"))


_READERS: Final = {"image/png": _read_png, "image/jpeg": _read_jpeg, "image/webp": _read_webp}
_ORIENTATION: Final = 0x0112


def _strict_png(data: bytes) -> Png:
    try:
        return read_png(data, MOST_PIXELS)
    except BadPng as error:
        raise NotAPicture(str(error)) from None


@functools.cache
def _pillow() -> ModuleType:
    """Pillow, loaded with the first picture, its warnings made errors for good.

    `warnings.catch_warnings` would not do: two threads that leave it in turn leave its filter behind in the process.
    """
    from PIL import Image  # noqa: PLC0415

    warnings.filterwarnings("error", module=r"PIL\.")
    return Image


class _opened:  # noqa: N801  # reads as a phrase: `with _opened(data, …) as picture:`
    """A picture in Pillow's hands: one format, every warning an error, loaded whole unless told not to."""

    def __init__(self, data: bytes, media_type: str, *, load: bool = True) -> None:
        pillow = _pillow()
        form = media_type.removeprefix("image/").upper()
        try:
            self._picture: Image.Image = pillow.open(io.BytesIO(data), formats=(form,))
            _bounded(*self._picture.size)
            if load:
                self._picture.load()
        except NotAPicture:
            raise
        except (OSError, ValueError, SyntaxError, EOFError, Warning, pillow.DecompressionBombError) as error:
            raise NotAPicture(f"its {form} data cannot be read") from error

    def __enter__(self) -> Image.Image:
        return self._picture

    def __exit__(self, *_: object) -> None:
        self._picture.close()


def _bounded(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise NotAPicture(f"{width}x{height} is more than {MOST_PIXELS} pixels")


def _as_png(picture: Image.Image) -> Admitted:
    out = io.BytesIO()
    picture.info.clear()
    picture.save(out, "PNG", compress_level=3)
    return Admitted(out.getvalue(), "image/png", picture.width, picture.height)


def _listed(taken: frozenset[str]) -> str:
    return " or ".join(sorted(t.removeprefix("image/").upper() for t in taken))


if __name__ == "__main__":  # see `converted_apart`
    sys.stdout.buffer.write(converted(sys.stdin.buffer.read(), sys.argv[1], int(sys.argv[2])))
