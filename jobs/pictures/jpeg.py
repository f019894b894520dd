"""A JPEG read strictly (ITU-T T.81): its markers walked, its scans counted, what makes no pixel stripped."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

MAX_SCANS: Final = 200
"""A progressive file has about ten; thousands cost seconds of decoding for a few kilobytes."""
MAX_SEGMENTS: Final = 10_000
"""20 MB of empty comments would cost seconds; an honest file of 20 MB has a few hundred segments."""

_SOI, _EOI, _SOS, _DNL = 0xD8, 0xD9, 0xDA, 0xDC
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive Huffman; what else there is (lossless, arithmetic) no browser shows."""
_NOT_TAKEN: Final = frozenset({_SOI, _DNL, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
_ASIDE: Final = frozenset({*range(0xE0, 0xF0), 0xFE})
"""Comments and application segments."""
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_FILLED: Final = re.compile(rb"\xff++[^\x00\xff]")
"""A marker and the fill bytes before it."""
_AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""The next marker that is neither stuffing nor a restart."""


class BadJpeg(ValueError):
    """What is wrong with the file, in a few words."""


class Jpeg(Struct, frozen=True):
    """A JPEG that holds. `data` ends at EOI; of comments and application segments it has JFIF and Adobe left, bare."""

    data: bytes
    width: int
    height: int
    components: int
    orientation: int
    """EXIF orientation, 1 to 8; 1 where there is none."""


def read_jpeg(data: bytes, most_pixels: int) -> Jpeg:
    """Walk a whole file; what follows EOI is dropped. Raises `BadJpeg`."""
    if not data.startswith(b"\xff\xd8\xff"):
        raise BadJpeg("it has no JPEG signature")
    out = bytearray(b"\xff\xd8")
    frame: tuple[int, int, int] | None = None
    scans, orientation = 0, 0
    for marker, body, whole in _segments(data):
        if marker in _FRAMES:
            if frame is not None:
                raise BadJpeg("it has more than one picture")
            frame = _frame(body, most_pixels)
        elif marker == _SOS:
            scans += 1
            if frame is None or scans > MAX_SCANS:
                raise BadJpeg("it has too many scans, or none of a picture")
        elif marker == _APP1 and body.startswith(b"Exif\0\0"):
            orientation = orientation or _orientation(body[6:])
        out += _colours(marker, body) if marker in _ASIDE else whole
    if frame is None or not scans:
        raise BadJpeg("it has no picture")
    return Jpeg(bytes(out + b"\xff\xd9"), *frame, orientation or 1)


def _colours(marker: int, body: bytes) -> bytes:
    """What a segment aside says of how colours are meant: JFIF without its thumbnail, Adobe; of all others nothing."""
    if marker == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
        return b"\xff\xe0\0\x10" + body[:12] + b"\0\0"
    if marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
        return b"\xff\xee\0\x0e" + body[:12]
    return b""


def _segments(data: bytes) -> Iterator[tuple[int, bytes, memoryview]]:
    """Every segment up to EOI: its marker, its parameters, and all of it with the entropy-coded data after SOS."""
    view, at = memoryview(data), 2
    for _ in range(MAX_SEGMENTS):
        marker, at = _marker(data, at)
        if marker == _EOI:
            return
        if marker in _NOT_TAKEN:
            raise BadJpeg("it is of a kind that is not taken")
        if marker in _BARE:
            continue
        body = _segment(data, at)
        end = at + 2 + len(body)
        if marker == _SOS:
            end = _scan_end(data, end)
        yield marker, body, view[at - 2 : end]
        at = end
    raise BadJpeg("it is in too many pieces")


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """The next marker and where its segment begins; fill bytes before it are skipped."""
    filled = _FILLED.match(data, at)
    if filled is None:
        raise BadJpeg("it is truncated or damaged")
    return data[filled.end() - 1], filled.end()


def _segment(data: bytes, at: int) -> bytes:
    if at + 2 > len(data):
        raise BadJpeg("it is truncated")
    (length,) = struct.unpack_from(">H", data, at)
    if length < 2 or at + length > len(data):  # the length counts itself
        raise BadJpeg("it is truncated")
    return data[at + 2 : at + length]


def _frame(body: bytes, most_pixels: int) -> tuple[int, int, int]:
    if len(body) < 6:
        raise BadJpeg("its frame is truncated")
    precision, height, width, components = struct.unpack_from(">BHHB", body)
    if precision != 8 or not width or not height or components not in {1, 3, 4}:
        raise BadJpeg("it is of a kind that is not taken")
    if len(body) != 6 + 3 * components:
        raise BadJpeg("its frame is damaged")
    if width * height > most_pixels:
        raise BadJpeg(f"{width}x{height} is more than {most_pixels} pixels")
    return width, height, components


def _scan_end(data: bytes, at: int) -> int:
    """Where the entropy-coded data ends."""
    after = _AFTER_SCAN.search(data, at)
    if after is None:
        raise BadJpeg("it is truncated")
    return after.start()


def _orientation(exif: bytes) -> int:
    """Tag 0x0112 of the first directory (TIFF 6.0); anything unreadable is 1."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    try:
        if order is None:
            return 1
        (offset,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, offset)
        for entry in range(min(count, 200)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, offset + 2 + 12 * entry)
            if tag == 0x0112 and kind == 3 and 1 <= value <= 8:
                return int(value)
    except struct.error:
        return 1
    return 1
