"""A PNG read strictly (ISO/IEC 15948): every chunk checked, the pixel data inflated and counted, the rest stripped."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MAX_ANCILLARY_BYTES: Final = 4 * 1024 * 1024
"""Bytes of text, profiles and other ancillary chunks that a file may carry (they are dropped)."""
MAX_CHUNKS: Final = 50_000
"""20 MB of empty chunks would cost 900 MB of memory; an honest file of 20 MB has a few thousand."""
STEP: Final = 64 * 1024
"""Bytes that are inflated at a time."""

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by colour type."""
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits of a sample by colour type."""
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The first column and row of each pass, and the steps to the next ones."""
_CRITICAL: Final = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_COLOUR: Final = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1}
"""How colours are meant: kept with the standard's length alone."""


class BadPng(ValueError):
    """What is wrong with the file, in a few words."""


class Png(Struct, frozen=True):
    """A PNG that holds. `data` is the file stripped to what makes its pixels: one frame, no text, no profile."""

    data: bytes
    width: int
    height: int
    alpha: bool
    """Whether transparency is declared that Pillow reads exactly: a channel, a palette's, a colour key of 1 or 8 bits.

    It compares a colour key of 2, 4 or 16 bits with samples that it has scaled to 8.
    """


def read_png(data: bytes, most_pixels: int) -> Png:
    """Check a whole file. What follows IEND is dropped; of an animation the default image stays. Raises `BadPng`."""
    chunks = list(_chunks(memoryview(data)))
    header = _header(chunks, most_pixels)
    _check_order(chunks, header)
    _check_pixels([c.body for c in chunks if c.kind == b"IDAT"], header)
    kept = _kept(chunks)
    if len(kept) < len(chunks) or sum(len(c.whole) for c in kept) + len(SIGNATURE) < len(data):
        data = b"".join([SIGNATURE, *(c.whole for c in kept)])
    exact = header.colour == 3 or header.depth in {1, 8}  # indexed
    alpha = header.colour in {4, 6} or (exact and any(c.kind == b"tRNS" for c in chunks))
    return Png(data, header.width, header.height, alpha)


class _Chunk(Struct, frozen=True):
    """A chunk as it lies in the file; its checksum holds. Views, so that nothing is copied."""

    kind: bytes
    body: memoryview
    whole: memoryview


class _Header(Struct, frozen=True):
    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @property
    def inflated(self) -> int:
        """Bytes of the filtered scanlines, by the passes of Adam7 where it is interlaced."""
        bits = self.depth * _CHANNELS[self.colour]
        passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for x, y, dx, dy in passes:
            columns, rows = -(-(self.width - x) // dx), -(-(self.height - y) // dy)
            if columns > 0 and rows > 0:
                total += rows * (1 + (columns * bits + 7) // 8)
        return total


def _chunks(data: memoryview) -> Iterator[_Chunk]:
    if bytes(data[: len(SIGNATURE)]) != SIGNATURE:
        raise BadPng("it has no PNG signature")
    at, aside = len(SIGNATURE), 0
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            raise BadPng("it is truncated")
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = bytes(data[at + 4 : at + 8]), at + 8 + length
        if end + 4 > len(data):
            raise BadPng("it is truncated")
        if not kind.isalpha() or (kind[0] < ord("a") and kind not in _CRITICAL):
            raise BadPng("it has an unknown critical chunk")
        (told,) = struct.unpack_from(">I", data, end)
        if zlib.crc32(data[at + 4 : end]) != told:
            raise BadPng("a chunk's checksum is wrong")
        aside += 0 if kind in _CRITICAL else length
        if aside > MAX_ANCILLARY_BYTES:
            raise BadPng("it carries more text and profiles than picture")
        yield _Chunk(kind, data[at + 8 : end], data[at : end + 4])
        if kind == b"IEND":
            if length:
                raise BadPng("its end is not empty")
            return
        at = end + 4
    raise BadPng("it is in too many pieces")


def _kept(chunks: list[_Chunk]) -> list[_Chunk]:
    """What makes the pixels, and the first of each chunk on colour that stands before them with the right length."""
    kept, lengths = [], dict(_COLOUR)
    for chunk in chunks:
        if chunk.kind == b"IDAT":
            lengths.clear()
        if chunk.kind in _CRITICAL or chunk.kind == b"tRNS" or lengths.pop(chunk.kind, None) == len(chunk.body):
            kept.append(chunk)
    return kept


def _header(chunks: list[_Chunk], most_pixels: int) -> _Header:
    kind, body = chunks[0].kind, chunks[0].body
    if kind != b"IHDR" or len(body) != 13:  # the standard's length
        raise BadPng("its header is not first")
    width, height, depth, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", body)
    if not 0 < width < 2**31 or not 0 < height < 2**31:
        raise BadPng("its size is no size")
    if width * height > most_pixels:
        raise BadPng(f"{width}x{height} is more than {most_pixels} pixels")
    if depth not in _DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise BadPng("its header is not one that PNG knows")
    return _Header(width, height, depth, colour, bool(interlace))


def _check_order(chunks: list[_Chunk], header: _Header) -> None:
    kinds = [c.kind for c in chunks]
    if kinds.count(b"IHDR") != 1 or kinds.count(b"PLTE") > 1 or kinds.count(b"tRNS") > 1 or b"IDAT" not in kinds:
        raise BadPng("its chunks are not those of one picture")
    first = kinds.index(b"IDAT")
    last = len(kinds) - 1 - kinds[::-1].index(b"IDAT")
    if set(kinds[first : last + 1]) != {b"IDAT"}:
        raise BadPng("its pixel data is not in one piece")
    for kind in (b"PLTE", b"tRNS"):
        if kind in kinds and kinds.index(kind) > first:
            raise BadPng("its palette comes after its pixels")
    if {b"PLTE", b"tRNS"} <= set(kinds) and kinds.index(b"tRNS") < kinds.index(b"PLTE"):
        raise BadPng("its transparency comes before its palette")
    palette = next((c.body for c in chunks if c.kind == b"PLTE"), None)
    _check_palette(palette, header)
    transparency = next((c.body for c in chunks if c.kind == b"tRNS"), None)
    if transparency is not None:
        _check_transparency(transparency, palette, header)


def _check_palette(palette: memoryview | None, header: _Header) -> None:
    if palette is None:
        if header.colour == 3:  # indexed
            raise BadPng("it has no palette")
        return
    most = 2**header.depth if header.colour == 3 else 256
    if header.colour in {0, 4} or not palette or len(palette) % 3 or len(palette) // 3 > most:
        raise BadPng("its palette does not fit")


def _check_transparency(transparency: memoryview, palette: memoryview | None, header: _Header) -> None:
    fits = {0: len(transparency) == 2, 2: len(transparency) == 6, 3: len(transparency) <= len(palette or b"") // 3}
    if not fits.get(header.colour, False):
        raise BadPng("its transparency does not fit")


def _check_pixels(bodies: list[memoryview], header: _Header) -> None:
    """Inflate step by step, and stop at the byte that is one too many: a bomb costs 64 kB."""
    inflater, left = zlib.decompressobj(), header.inflated
    try:
        for piece in (body[at : at + STEP] for body in bodies for at in range(0, len(body), STEP)):
            if inflater.eof:
                raise BadPng("it has bytes after its pixels")
            rest: bytes | memoryview = piece
            while rest and not inflater.eof:
                left -= len(inflater.decompress(rest, STEP))
                if left < 0:
                    raise BadPng("it has more pixels than it says")
                rest = inflater.unconsumed_tail
    except zlib.error:
        raise BadPng("its pixel data is damaged") from None
    if not inflater.eof:
        left -= len(inflater.flush(STEP))
    if not inflater.eof:
        raise BadPng("its pixel data is truncated")
    if inflater.unused_data:
        raise BadPng("it has bytes after its pixels")
    if left:
        raise BadPng("it has fewer pixels than it says")
