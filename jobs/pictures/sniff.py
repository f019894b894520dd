"""What kind of picture bytes are, and how large."""

from __future__ import annotations

import functools
import io
import warnings
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from types import ModuleType

    from PIL import Image

EXTENSIONS: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
"""The kinds of picture that we keep, and how their names end."""
MAX_BYTES: Final = 20 * 1024 * 1024
"""Of a picture that is taken."""
MAX_PIXELS: Final = 50_000_000
"""Of a picture that is decoded: more would take more than 200 MB."""


class NotAPicture(ValueError):
    """The bytes are no picture that we keep; the text says why, fit for the caller."""


class Measured(Struct, frozen=True):
    """A picture's kind and its stored size in pixels."""

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
    with opened(data, media_type, load=False) as picture:
        return Measured(media_type, *picture.size)


@functools.cache
def pillow() -> ModuleType:
    """Pillow, loaded with the first picture, its warnings made errors for good.

    `warnings.catch_warnings` would not do: two threads that leave it in turn leave its filter behind in the process.
    """
    from PIL import Image

    warnings.filterwarnings("error", module=r"PIL\.")
    warnings.filterwarnings(
        "ignore", "Image appears to be a malformed MPO file", module=r"PIL\."
    )  # its first one is whole
    return Image


class opened:  # noqa: N801  # reads as a phrase: `with opened(data, …) as picture:`
    """A picture in Pillow's hands: one format, every warning an error, loaded whole unless told not to.

    `picture` is for those who let go of it rather than close it. `draft` is a mode and how many times smaller a JPEG
    is decoded: by that much faster, in that much less memory.
    """

    def __init__(
        self, data: bytes, media_type: str, *, load: bool = True, draft: tuple[str | None, int] | None = None
    ) -> None:
        module = pillow()
        form = media_type.removeprefix("image/").upper()
        try:
            self.picture: Image.Image = module.open(io.BytesIO(data), formats=(form,))
            width, height = self.picture.size
            _bounded(width, height)
            if draft is not None:
                self.picture.draft(draft[0], (max(1, width // draft[1]), max(1, height // draft[1])))
            if load:
                self.picture.load()
        except NotAPicture:
            raise
        except (*_UNREADABLE, module.DecompressionBombError) as error:
            raise NotAPicture(f"its {form} data cannot be read") from error

    def __enter__(self) -> Image.Image:
        return self.picture

    def __exit__(self, *_: object) -> None:
        self.picture.close()


_UNREADABLE: Final = (OSError, ValueError, SyntaxError, EOFError, Warning, MemoryError)
"""What Pillow raises of a file that it cannot read."""


def _bounded(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise NotAPicture(f"{width}x{height} is more than {MAX_PIXELS} pixels")
