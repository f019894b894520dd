"""A JPEG read as browsers do (ITU-T T.81): its markers walked, its scans counted, what makes no pixel stripped."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from jobs.pictures.colours import MAX_PROFILE_BYTES
from jobs.pictures.orientation import orientation_of

MAX_SCANS: Final = 200
"""A progressive file has about ten; thousands cost seconds of decoding for a few kilobytes."""
MAX_SEGMENTS: Final = 10_000
"""20 MB of empty comments would cost seconds; an honest file of 20 MB has a few hundred segments."""

_SOI, _EOI, _SOS, _DNL = 0xD8, 0xD9, 0xDA, 0xDC
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive Huffman; what else there is (lossless, arithmetic) no browser shows."""
_NOT_TAKEN: Final = frozenset({_SOI, _DNL, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_ASIDE: Final = frozenset({*range(0xE0, 0xF0), 0xFE})
"""Comments and application segments."""
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_NEXT: Final = re.compile(rb"\xff[^\x00\xff]")
"""A marker."""
_AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""The next marker that is neither stuffing nor a restart."""
_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")
_PROFILE: Final = b"ICC_PROFILE\0"


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
    profile: bytes
    """Of its colours (ICC.1, annex B.4); empty where there is none, or not all of it."""
    rgb: bool
    """Whether its three components are red, green and blue, as libjpeg tells it."""
    missing: tuple[bytes, bytes] | None
    """Of a file without EOI: two ends for `data`'s, with which its pixels are alike exactly when all are there."""


def read_jpeg(data: bytes, most_pixels: int) -> Jpeg:
    """Walk a whole file; what follows EOI is dropped, and stray bytes between segments. Raises `BadJpeg`."""
    if not data.startswith(b"\xff\xd8\xff"):
        raise BadJpeg("it has no JPEG signature")
    found = _Found()
    for marker, body, whole in _segments(data):
        found.add(marker, body, whole, most_pixels)
    if found.frame is None or not found.scans:
        raise BadJpeg("it has no picture")
    if not found.ended and not found.covered():
        raise BadJpeg("it is truncated")
    width, height, components = found.frame
    missing = None if found.ended else found.endings()
    found.out += b"\xff\xd9"
    return Jpeg(
        bytes(found.out),
        width,
        height,
        components,
        found.orientation or 1,
        found.profile(),
        found.rgb(),
        missing,
    )


def stitched(strips: Iterable[bytes], height: int, interval: int) -> bytes:
    """One JPEG of such that are one below the other: each a restart interval of `interval` groups of blocks (MCUs)."""
    out = bytearray(b"\xff\xd8")
    for number, strip in enumerate(strips):
        for marker, body, whole in _segments(strip):
            entropy = whole[4 + len(body) :]
            if number:
                out += bytes([0xFF, 0xD0 + (number - 1) % 8]) + entropy if marker == _SOS else b""
            elif marker == _SOS:
                out += struct.pack(">HHH", 0xFFDD, 4, interval) + whole
            else:
                out += _of_height(whole, height) if marker in _FRAMES else whole
    return bytes(out + b"\xff\xd9")


def _of_height(frame: memoryview, height: int) -> bytes:
    return bytes(frame[:5]) + struct.pack(">H", height) + frame[7:]


class _Found:
    """What the segments of a file have told so far."""

    def __init__(self) -> None:
        self.out = bytearray(b"\xff\xd8")
        self.frame: tuple[int, int, int] | None = None
        self.ids = b""
        self.scans = self.last_scan = self.orientation = 0
        self.ended = False
        self._bits: dict[int, bytearray] = {}
        """Of each component: of each of its 64 coefficients the lowest bit that is there, 255 for none."""
        self._adobe: int | None = None
        self._jfif = False
        self._profile: dict[int, bytes] = {}
        self._profile_parts = 0

    def add(self, marker: int, body: bytes, whole: memoryview, most_pixels: int) -> None:
        """Take the next segment. Raises `BadJpeg`."""
        if marker == _EOI:
            self.ended = True
        elif marker in _FRAMES:
            if self.frame is not None:
                raise BadJpeg("it has more than one picture")
            self.frame = _frame(body, most_pixels)
            self.ids = bytes(body[6::3])
            self._bits = {number: bytearray(b"\xff" * 64) for number in self.ids}
        elif marker == _SOS:
            self._add_scan(body)
        elif marker in _ASIDE:
            self._add_aside(marker, body)
            self.out += _colours(marker, body)
            return
        self.out += whole

    def _add_scan(self, body: bytes) -> None:
        self.scans += 1
        if self.frame is None or self.scans > MAX_SCANS:
            raise BadJpeg("it has too many scans, or none of a picture")
        self.last_scan = len(self.out)
        if len(body) >= 4 and len(body) == 4 + 2 * body[0]:
            first, last, bits = body[-3:]
            for number in body[1:-3:2]:
                for k in range(first, min(last, 63) + 1) if number in self._bits else ():
                    self._bits[number][k] = bits & 15

    def _add_aside(self, marker: int, body: bytes) -> None:
        if marker == _APP0 and body.startswith(b"JFIF\0"):
            self._jfif = True
        elif marker == _APP1 and body.startswith(b"Exif\0\0"):
            self.orientation = self.orientation or orientation_of(body[6:])
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            self._adobe = body[11]
        elif marker == _APP2 and body.startswith(_PROFILE) and len(body) > 14:
            self._profile.setdefault(body[12], body[14:])
            self._profile_parts = body[13]

    def profile(self) -> bytes:
        """The profile, put together of all its parts."""
        parts = [self._profile.get(number, b"") for number in range(1, self._profile_parts + 1)]
        return b"".join(parts) if all(parts) and sum(map(len, parts)) <= MAX_PROFILE_BYTES else b""

    def rgb(self) -> bool:
        """As libjpeg decides it: JFIF, else Adobe's word, else the components' names."""
        if len(self.ids) != 3 or self._jfif:
            return False
        return self._adobe == 0 if self._adobe is not None else self.ids == b"RGB"

    def covered(self) -> bool:
        """Whether scans of every bit of every coefficient have begun."""
        return not any(map(any, self._bits.values()))

    def endings(self) -> tuple[bytes, bytes]:
        """Two ends: one bit, and the other, where the next one would be; both again after a restart."""
        restarts = len(_RESTART.findall(self.out, self.last_scan))
        restart = bytes([0xFF, 0xD0 + restarts % 8])
        tails = (bytes(more) + restart + bytes(more) for more in (_ONE, [value ^ 0xFF for value in _ONE]))
        one, other = (tail + b"\xff\xd9" for tail in tails)
        return one, other


_ONE: Final = tuple((37 * n + 11) % 254 + 1 for n in range(64))
"""Bytes of which neither they nor their complements begin a marker."""


def _colours(marker: int, body: bytes) -> bytes:
    """What a segment aside says of how colours are meant: JFIF without its thumbnail, Adobe; of all others nothing."""
    if marker == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
        return b"\xff\xe0\0\x10" + body[:12] + b"\0\0"
    if marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
        return b"\xff\xee\0\x0e" + body[:12]
    return b""


def _segments(data: bytes) -> Iterator[tuple[int, bytes, memoryview]]:
    """Every segment: its marker, its parameters, and all of it with the entropy-coded data after SOS.

    EOI comes last, as an empty one; it does not where the file ends within a scan.
    """
    view, at = memoryview(data), 2
    for _ in range(MAX_SEGMENTS):
        marker, at = _marker(data, at)
        if marker == _EOI:
            yield marker, b"", view[:0]
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
        if marker == _SOS and _AFTER_SCAN.match(data, end) is None:
            return
        at = end
    raise BadJpeg("it is in too many pieces")


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """The next marker and where its segment begins; what stands before it is skipped, as libjpeg does."""
    found = _NEXT.search(data, at)
    if found is None:
        raise BadJpeg("it is truncated or damaged")
    return data[found.end() - 1], found.end()


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
    """Where the entropy-coded data ends: before a marker, or with the file."""
    after = _AFTER_SCAN.search(data, at)
    return max(at, len(data.rstrip(b"\xff"))) if after is None else after.start()
