"""Pixels that lie in a file without a name: of a picture of any size, memory has what is being worked on alone."""

from __future__ import annotations

import io
import mmap
import os
import tempfile
from typing import TYPE_CHECKING, Any, Final

from jobs.pictures.orientation import STRIP_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import ReadableBuffer
    from PIL import Image, ImageFile

STEP: Final = 16 * 1024
"""Bytes of a file that are decoded at a time: of deflate, up to 16 MB of pixels."""
PIECE_ROWS: Final = 512
"""Rows whose columns are read at a time: each row brings 64 kB into memory (Linux' `fault_around_bytes`)."""

_SAMPLE_BYTES: Final = {"L": 1, "P": 1, "I;16": 2}
"""Bytes of a pixel by its mode; four of all others (Pillow's `map.c`)."""


class Canvas:
    """A picture whose pixels are a file in the folder for temporary files, or are in memory where that has no room."""

    def __init__(self, mode: str, size: tuple[int, int]) -> None:
        from PIL import Image, _imaging

        self._mapped = _mapped(size[0] * size[1] * _SAMPLE_BYTES.get(mode, 4))
        core = _imaging.map_buffer(self._mapped, size, "raw", 0, (mode, 0, 1))
        self.image: Image.Image = Image.Image()._new(core)  # noqa: SLF001  # as Pillow's own readers make theirs

    def forget(self) -> None:
        """Leave nothing of the pixels in memory: they stay in the file."""
        self._mapped.madvise(mmap.MADV_DONTNEED)

    def decode(self, picture: ImageFile.ImageFile, source: Source) -> None:
        """Have a picture of the same mode and size, which reads from `source`, put its pixels here."""
        picture.im = self.image.im
        picture.decodermaxblock = STEP
        source.canvas = self
        picture.load()
        self.image = picture
        self.forget()

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """A part of the picture."""
        left, top, right, bottom = box
        if bottom - top <= PIECE_ROWS or self.image.mode == "P":  # a palette goes along with one piece alone
            part = self.image.crop(box)
            self.forget()
            return part
        from PIL import Image

        part = Image.new(self.image.mode, (right - left, bottom - top))
        part.info = self.image.info
        for above in range(top, bottom, PIECE_ROWS):
            below = min(bottom, above + PIECE_ROWS)
            part.paste(self.image.crop((left, above, right, below)), (0, above - top))
            self.forget()
        return part

    def halved(self) -> Canvas:
        """The picture with half its width and height, rounded up."""
        width, height = self.image.size
        rows = 2 * max(1, STRIP_PIXELS // 2 // width)
        strips = (self.crop((0, top, width, min(height, top + rows))) for top in range(0, height, rows))
        return painted((strip.reduce(2) for strip in strips), (-(-width // 2), -(-height // 2)))

    def encoded(self, form: str, **options: Any) -> bytes:
        """The picture as a file of a format of Pillow's. Raises `OSError`, `ValueError`."""
        out = _Sink(self)
        self.image.save(out, form, **options)
        return out.getvalue()


def painted(strips: Iterable[Image.Image], size: tuple[int, int]) -> Canvas:
    """A picture of this size that consists of others of one mode, one below the other."""
    top, canvas = 0, None
    for strip in strips:
        canvas = canvas or Canvas(strip.mode, size)
        canvas.image.paste(strip, (0, top))
        canvas.forget()
        top += strip.height
    if canvas is None:
        raise ValueError("there is no strip")
    return canvas


class Source(io.BytesIO):
    """A file in memory; its canvas forgets what was decoded before more is read."""

    canvas: Canvas | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        """As any file."""
        if self.canvas is not None:
            self.canvas.forget()
        return super().read(size)


class _Sink(io.BytesIO):
    """Takes a file that is made of a canvas, which forgets what is encoded."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__()
        self._canvas = canvas

    def write(self, data: ReadableBuffer, /) -> int:
        """As any file."""
        self._canvas.forget()
        return super().write(data)


def _mapped(size: int) -> mmap.mmap:
    """So many bytes of a file that ends with them. Its room is taken first: where there is none a write would kill."""
    try:
        with tempfile.TemporaryFile() as file:
            os.posix_fallocate(file.fileno(), 0, size)
            return mmap.mmap(file.fileno(), size)
    except OSError:
        return mmap.mmap(-1, size)
