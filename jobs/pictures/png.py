"""A PNG read strictly (ISO/IEC 15948): every chunk checked, the pixel data inflated and counted, the rest stripped."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from jobs.pictures.colours import PROFILE_HEAD_BYTES, declared_size
from jobs.pictures.orientation import orientation_of

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
_KEPT: Final = _CRITICAL | set(_COLOUR) | {b"tRNS"}
"""Chunks whose checksum has to be right; another that is damaged is dropped, as browsers do."""


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
    orientation: int
    """EXIF orientation, 1 to 8; 1 where there is none."""
    profile: bytes
    """Of its colours, inflated; empty where there is none that is read."""


def read_png(data: bytes, most_pixels: int) -> Png:
    """Check a whole file. Raises `BadPng`.

    What follows IEND is dropped, and what follows the pixels in IDAT; of an animation the default image stays.
    """
    chunks = list(_chunks(memoryview(data)))
    header = _header(chunks, most_pixels)
    _check_order(chunks, header)
    used = _check_pixels([c.body for c in chunks if c.kind == b"IDAT"], header)
    kept = _kept(_without_spare(chunks, used))
    if len(kept) < len(chunks) or sum(len(c.whole) for c in kept) + len(SIGNATURE) < len(data):
        data = b"".join([SIGNATURE, *(c.whole for c in kept)])
    exact = header.colour == 3 or header.depth in {1, 8}  # indexed
    alpha = header.colour in {4, 6} or (exact and any(c.kind == b"tRNS" for c in chunks))
    turned = (orientation_of(bytes(c.body)) for c in chunks if c.kind == b"eXIf")
    profile = next((_profile(c.body) for c in chunks if c.kind == b"iCCP"), b"")
    return Png(data, header.width, header.height, alpha, next(turned, 1), profile)


_DAMAGED: Final = b"none"
"""What a chunk is called whose checksum is wrong."""


class _Chunk(Struct, frozen=True):
    """A chunk as it lies in the file; its checksum holds, or it is dropped. Views, so that nothing is copied."""

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
    def passes(self) -> list[tuple[int, int]]:
        """Bytes of a filtered scanline and number of them, by the passes of Adam7 where it is interlaced."""
        bits = self.depth * _CHANNELS[self.colour]
        found = []
        for x, y, dx, dy in _ADAM7 if self.interlaced else ((0, 0, 1, 1),):
            columns, rows = -(-(self.width - x) // dx), -(-(self.height - y) // dy)
            if columns > 0 and rows > 0:
                found.append((1 + (columns * bits + 7) // 8, rows))
        return found


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
        sound = zlib.crc32(data[at + 4 : end]) == told
        if not sound and kind in _KEPT:
            raise BadPng("a chunk's checksum is wrong")
        aside += 0 if kind in _CRITICAL else length
        if aside > MAX_ANCILLARY_BYTES:
            raise BadPng("it carries more text and profiles than picture")
        yield _Chunk(kind if sound else _DAMAGED, data[at + 8 : end], data[at : end + 4])
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


class _Scanlines:
    """Takes the inflated scanlines piece by piece; no more of them than there are to be."""

    def __init__(self, header: _Header) -> None:
        self._passes = [(stride, stride * rows) for stride, rows in header.passes]
        self._next_filter = 0

    @property
    def left(self) -> bool:
        """Whether more has to come."""
        return bool(self._passes)

    def add(self, piece: bytes) -> None:
        """Raises `BadPng` for one byte too many, and for a filter that is none."""
        while piece:
            if not self._passes:
                raise BadPng("it has more pixels than it says")
            stride, left = self._passes[0]
            part, piece = piece[:left], piece[left:]
            if max(part[self._next_filter :: stride], default=0) > 4:
                raise BadPng("its PNG data cannot be read")
            self._next_filter = (self._next_filter - len(part)) % stride
            self._passes[0] = (stride, left - len(part))
            if left == len(part):
                self._passes.pop(0)


def _check_pixels(bodies: list[memoryview], header: _Header) -> int:
    """How many bytes make the pixels.

    They are inflated step by step, up to the byte that is one too many: a bomb costs 64 kB.
    """
    inflater, lines, used = zlib.decompressobj(), _Scanlines(header), 0
    try:
        for piece in (body[at : at + STEP] for body in bodies for at in range(0, len(body), STEP)):
            rest: bytes | memoryview = piece
            while rest and not inflater.eof:
                lines.add(inflater.decompress(rest, STEP))
                rest = inflater.unconsumed_tail
            used += len(piece) - len(inflater.unused_data)
            if inflater.eof:
                break
        if not inflater.eof:
            lines.add(inflater.flush(STEP))
    except zlib.error:
        raise BadPng("its pixel data is damaged") from None
    if not inflater.eof:
        raise BadPng("its pixel data is truncated")
    if lines.left:
        raise BadPng("it has fewer pixels than it says")
    return used


def _without_spare(chunks: list[_Chunk], used: int) -> list[_Chunk]:
    """The chunks with so many bytes of pixel data: what follows them is no picture."""
    kept = []
    for chunk in chunks:
        if chunk.kind != b"IDAT" or len(chunk.body) <= used:
            kept.append(chunk)
        elif used:
            kept.append(_made(b"IDAT", chunk.body[:used]))
        used -= min(used, len(chunk.body)) if chunk.kind == b"IDAT" else 0
    return kept


def _made(kind: bytes, body: memoryview) -> _Chunk:
    whole = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
    return _Chunk(kind, body, memoryview(whole))


def _profile(body: memoryview) -> bytes:
    """The profile of an iCCP chunk, inflated when its beginning says how long it is; empty where it is none."""
    name, _, packed = bytes(body).partition(b"\0")
    if len(name) > 79 or packed[:1] != b"\0":
        return b""
    inflater = zlib.decompressobj()
    try:
        head = inflater.decompress(packed[1:], PROFILE_HEAD_BYTES)
        size = declared_size(head)
        return head + inflater.decompress(inflater.unconsumed_tail, size - len(head)) if size > len(head) else b""
    except zlib.error:
        return b""
