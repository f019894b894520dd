"""Makes picture files chunk by chunk and segment by segment, sound and broken."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes = b"", crc: int | None = None) -> bytes:
    found = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", found)


def header(width=4, height=4, depth=8, colour=2, compression=0, filters=0, interlace=0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, compression, filters, interlace))


def rows(count=4, width=12) -> bytes:
    """Filtered scanlines, compressed: 4x4 of RGB unless told otherwise."""
    return zlib.compress((b"\0" + bytes(width)) * count)


IDAT = chunk(b"IDAT", rows())
IEND = chunk(b"IEND")


def png(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks)


PLAIN = png(header(), IDAT, IEND)


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def gradient(mode: str = "RGB", size=(48, 32)) -> Image.Image:
    """A picture whose every corner differs, so that a turned one is seen to be turned."""
    image = Image.linear_gradient("L").resize(size)
    image = Image.merge("RGB", (image, image.transpose(Image.Transpose.ROTATE_180), image.point(lambda v: v // 2)))
    image.paste((255, 0, 0), (0, 0, size[0] // 4, size[1] // 4))
    return image.convert(mode)


def exif(orientation: int, order: str = "<") -> bytes:
    """An APP1 segment's content with one tag (TIFF 6.0)."""
    mark = b"II" if order == "<" else b"MM"
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + mark + struct.pack(f"{order}HIH", 42, 8, 1) + entry + struct.pack(f"{order}I", 0)


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def segments(jpeg: bytes) -> list[tuple[int, bytes]]:
    """Each marker after SOI with the bytes of all of it, entropy-coded data included; EOI last."""
    found, at = [], 2
    while at < len(jpeg):
        marker = jpeg[at + 1]
        end = at + 2
        if marker != 0xD9:
            end += struct.unpack_from(">H", jpeg, at + 2)[0]
        if marker == 0xDA:
            while not (jpeg[end] == 0xFF and jpeg[end + 1] not in {0, *range(0xD0, 0xD8)}):
                end += 1
        found.append((marker, jpeg[at:end]))
        at = end
        if marker == 0xD9:
            break
    return found


def rebuilt(parts: list[tuple[int, bytes]]) -> bytes:
    return b"\xff\xd8" + b"".join(part for _, part in parts)


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Each chunk's kind and content."""
    found, at = [], len(SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def zeros(megabytes: int) -> bytes:
    """A sound zlib stream of so many megabytes of nothing, made without ever holding them."""
    deflater = zlib.compressobj(9, wbits=-15)
    block = deflater.compress(bytes(2**20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    adler = ((megabytes * 2**20 % 65521) << 16) | 1
    return b"\x78\xda" + block * megabytes + b"\x03\0" + struct.pack(">I", adler)


def samples(pixels: list[tuple[int, ...]], side: int, depth: int) -> bytes:
    """A square's IDAT, packed as the standard says."""
    packed = b""
    for at in range(0, len(pixels), side):
        bits = "".join(format(value, f"0{depth}b") for pixel in pixels[at : at + side] for value in pixel)
        bits += "0" * (-len(bits) % 8)
        packed += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    return chunk(b"IDAT", zlib.compress(packed))
