"""What the bytes of a far end are, by their heads alone: nothing is decoded, and nothing that is odd raises.

This is for pictures that were paid for, which are kept whatever they are; strangers' pictures pass `gate`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final

from msgspec import Struct

EXTENSIONS: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/jp2": "jp2",
    "image/svg+xml": "svg",
    "image/tiff": "tiff",
}
"""Every kind of picture that a result may have, and how its name ends."""
TAKEN: Final = frozenset({"image/png", "image/jpeg", "image/webp"})
"""The kinds that we take of strangers, and make."""


class Head(Struct, frozen=True):
    """A picture's kind, its stored size in pixels where that is known, and whether its end is there as well."""

    media_type: str
    width: int | None = None
    height: int | None = None
    whole: bool = True


def read_head(data: bytes) -> Head | None:
    """What kind of picture the bytes are; None: they are no picture."""
    kind = kind_of(data[:1024])
    if kind is None:
        return None
    read, whole = _READERS[kind]
    width, height = _size(read, data)
    return Head(kind, width, height, whole(data))


def kind_of(head: bytes) -> str | None:
    """The media type that the first kilobyte shows, or None."""
    return next((kind for pattern, kind in _MAGIC if pattern.match(head)), None)


_Size = tuple[int, int]
_MAGIC: Final = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"RIFF....WEBP", "image/webp"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "image/bmp"),
        (rb"II[*+]\0|MM\0[*+]", "image/tiff"),
        (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "image/jp2"),
        (rb"....ftyp(?=avi[fs]|.{0,64}?avif)", "image/avif"),
        (rb"....ftyp(?=he[iv][cmsx]|mif1|msf1)", "image/heic"),
        (rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml.{0,800}?|<!--.{0,800}?|<!DOCTYPE svg.{0,800}?)?<svg[\s>]", "image/svg+xml"),
    )
)


def _size(read: Callable[[bytes], _Size], data: bytes) -> tuple[int, int] | tuple[None, None]:
    try:
        width, height = read(data)
    except (struct.error, LookupError, ValueError, ArithmeticError):
        return None, None
    return (width, height) if width > 0 and height > 0 else (None, None)


def _png(data: bytes) -> _Size:
    """IHDR (PNG 11.2.1)."""
    at = data.index(b"IHDR", 8, 64)
    width, height = struct.unpack_from(">II", data, at + 4)
    return width, height


def _png_ends(data: bytes) -> bool:
    """Whether its chunks go on without a gap to IEND."""
    at = 8
    while at + 12 <= len(data):
        kind, length = data[at + 4 : at + 8], int.from_bytes(data[at : at + 4])
        at += 12 + length
        if kind == b"IEND":
            return at <= len(data)
    return False


_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SEGMENT: Final = re.compile(rb"\xff+([^\x00\xff\xd0-\xd9])", re.DOTALL)
"""The next marker with parameters, over whatever stands before it."""
_SOS: Final = 0xDA


def _jpeg(data: bytes) -> _Size:
    """The first frame header (T.81 B.2.2) that is found, over segments that are damaged."""
    at = 2
    while found := _SEGMENT.search(data, at):
        at = found.end()
        if found[1][0] in _FRAMES:
            _, _, height, width = struct.unpack_from(">HBHH", data, at)
            return width, height
        (length,) = struct.unpack_from(">H", data, at)
        at += length if at + length <= len(data) else 0
    raise ValueError("no frame")


def _jpeg_ends(data: bytes) -> bool:
    """Whether an EOI comes after the first scan has begun; a thumbnail's stands before it."""
    at = 2
    while found := _SEGMENT.search(data, at):
        at = found.end()
        if found[1][0] == _SOS:
            return data.find(b"\xff\xd9", at) >= 0
        if at + 2 > len(data):
            break
        length = int.from_bytes(data[at : at + 2])
        at += length if at + length <= len(data) else 0
    return False


def _webp(data: bytes) -> _Size:
    """VP8X, VP8L or VP8 (RFC 9649)."""
    match data[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case _:
            width, height = struct.unpack_from("<HH", data, data.index(b"\x9d\x01\x2a", 20, 32) + 3)
            return width & 0x3FFF, height & 0x3FFF


def _gif(data: bytes) -> _Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp(data: bytes) -> _Size:
    """BITMAPCOREHEADER or a later one, whose height is negative where the rows begin at the top."""
    early = data[14] == 12  # its own length
    width, height = struct.unpack_from("<HH" if early else "<ii", data, 18)
    return abs(width), abs(height)


def _tiff(data: bytes) -> _Size:
    """ImageWidth and ImageLength of the first directory (TIFF 6.0)."""
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    found: dict[int, int] = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        (found[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, entry + 8)  # SHORT
    return found[0x100], found[0x101]


def _heif(data: bytes) -> _Size:
    """The largest of the `ispe` boxes (ISO 23008-12 6.5.3): the others are of tiles and thumbnails."""
    boxes = [struct.unpack_from(">II", data, found.end() + 4) for found in re.finditer(rb"ispe", data[:65_536])]
    width, height = max(boxes, key=lambda box: box[0] * box[1])
    return width, height


def _jpeg2000(data: bytes) -> _Size:
    """The `ihdr` box, or SIZ of a bare codestream (T.800)."""
    if data.startswith(b"\xff\x4f"):
        right, below, left, above = struct.unpack_from(">IIII", data, 8)
        return right - left, below - above
    height, width = struct.unpack_from(">II", data, data.index(b"ihdr", 0, 256) + 4)
    return width, height


_SVG: Final = re.compile(rb"<svg\b[^>]*>", re.DOTALL)
_SVG_SIDE: Final = {
    side: re.compile(rb"""\s%b=["'](\d+(?:\.\d+)?)(?:px)?["']""" % side) for side in (b"width", b"height")
}
_VIEW_BOX: Final = re.compile(rb"""\sviewBox=["']\s*\S+?[\s,]+\S+?[\s,]+(\d+(?:\.\d+)?)[\s,]+(\d+(?:\.\d+)?)""")


def _svg(data: bytes) -> _Size:
    """Width and height in pixels, or those of the view box."""
    tag = _SVG.search(data[:65_536])
    if tag is None:
        raise ValueError("no tag")
    width, height = (side.search(tag[0]) for side in _SVG_SIDE.values())
    if width and height:
        return round(float(width[1])), round(float(height[1]))
    box = _VIEW_BOX.search(tag[0])
    if box is None:
        raise ValueError("no size")
    return round(float(box[1])), round(float(box[2]))


def _boxes_end(data: bytes) -> bool:
    """Whether the last box (ISO 14496-12 4.2) ends within the bytes."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16])
        if length < 8:  # 0: to the end of the file  # the box's own head
            return length == 0
        at += length
    return at == len(data)


def _whole(_: bytes) -> bool:
    """Its head does not say how long it is."""
    return True


_READERS: Final[dict[str, tuple[Callable[[bytes], _Size], Callable[[bytes], bool]]]] = {
    "image/png": (_png, _png_ends),
    "image/jpeg": (_jpeg, _jpeg_ends),
    "image/webp": (_webp, lambda data: int.from_bytes(data[4:8], "little") + 8 <= len(data)),
    "image/gif": (_gif, lambda data: data.rstrip(b"\0").endswith(b";")),
    "image/bmp": (_bmp, _whole),
    "image/tiff": (_tiff, _whole),
    "image/avif": (_heif, _boxes_end),
    "image/heic": (_heif, _boxes_end),
    "image/jp2": (_jpeg2000, _whole),
    "image/svg+xml": (
        _svg,
        lambda data: data.rstrip().endswith(b"</svg>") or b"</svg>" in data[-4096:] or b"/>" in data[-64:],
    ),
}
