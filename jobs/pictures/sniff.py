"""Pictures in the hands of Pillow: which it is let to read, and how large they may be."""

from __future__ import annotations

import contextlib
import functools
import math
import warnings
from typing import TYPE_CHECKING, Final, Self

from msgspec import Struct

from jobs.pictures.canvas import Canvas, Source
from jobs.pictures.heads import TAKEN, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from PIL import Image, ImageFile

MAX_BYTES: Final = 20 * 1024 * 1024
"""Of a picture that is taken."""
MAX_PIXELS: Final = 50_000_000
"""Of a stranger's picture."""
ANY_PIXELS: Final = 2**62
"""More than any format has room to say."""
MAX_OWN_PIXELS: Final = 100_000_000
"""Of a picture of ours that is decoded: its pixels are a file of 400 MB for so long."""
FORMATS: Final = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/bmp": "BMP",
    "image/gif": "GIF",
    "image/jp2": "JPEG2000",
    "image/tiff": "TIFF",
}
"""Pillow's names of the kinds that it decodes for us."""


class NotAPicture(ValueError):
    """The bytes are no picture that we keep; the text says why, fit for the caller."""


class Measured(Struct, frozen=True):
    """A picture's kind and its stored size in pixels."""

    media_type: str
    width: int
    height: int


def sniff(head: bytes) -> str | None:
    """The media type that the first 12 bytes show, of those that we take, or None."""
    kind = kind_of(head)
    return kind if kind in TAKEN else None


def measure(data: bytes, most_pixels: int = MAX_PIXELS) -> Measured:
    """Kind and size, read from the header alone: nothing is decoded. Raises `NotAPicture`."""
    media_type = sniff(data[:12])
    if media_type is None:
        raise NotAPicture("neither PNG nor JPEG nor WebP")
    with opened(data, media_type, load=False, most_pixels=most_pixels) as stored:
        return Measured(media_type, *stored.picture.size)


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
    Image.MAX_IMAGE_PIXELS = None  # `opened` has its own bound
    return Image


class opened:  # noqa: N801  # reads as a phrase: `with opened(data, …) as stored:`
    """A picture in Pillow's hands, as it is stored: of one format, every warning an error, decoded unless told not to.

    `draft` is a mode and how many times smaller a JPEG is decoded: by that much faster, in that much less room.
    """

    def __init__(
        self,
        data: bytes,
        media_type: str,
        *,
        load: bool = True,
        draft: tuple[str | None, int] | None = None,
        most_pixels: int = MAX_OWN_PIXELS,
    ) -> None:
        module = pillow()
        self._form = FORMATS[media_type]
        self._source = Source(data)
        self._canvas: Canvas | None = None
        with self._read():
            self.picture: ImageFile.ImageFile = module.open(self._source, formats=(self._form,))
            width, height = self.picture.size
            if draft is not None:
                self.picture.draft(draft[0], (max(1, width // draft[1]), max(1, height // draft[1])))
            if math.prod(self.picture.size) > most_pixels:
                raise NotAPicture(f"{width}x{height} is more than {most_pixels} pixels")
        if load:
            self.load()

    def load(self) -> Canvas:
        """Decode it, once. Raises `NotAPicture`."""
        if self._canvas is None:
            with self._read():
                self._canvas = Canvas(self.picture.mode, self.picture.size)
                self._canvas.decode(self.picture, self._source)
        return self._canvas

    def crop(self, box: tuple[int, int, int, int], /) -> Image.Image:
        """A part of it."""
        return self.load().crop(box)

    @contextlib.contextmanager
    def _read(self) -> Iterator[None]:
        try:
            yield
        except NotAPicture:
            raise
        except (*_UNREADABLE, pillow().DecompressionBombError) as error:
            raise NotAPicture(f"its {self._form} data cannot be read") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.picture.close()


_UNREADABLE: Final = (OSError, ValueError, SyntaxError, EOFError, Warning, MemoryError)
"""What Pillow raises of a file that it cannot read."""
