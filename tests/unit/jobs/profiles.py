"""Colour profiles (ICC.1:2010), made tag by tag: of cameras, of grey, of a press, and one like that of XYB."""

import itertools
import struct

from PIL import ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _gamma(value: float) -> bytes:
    return b"curv" + struct.pack(">IIHxx", 0, 1, round(value * 256))


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"wtpt": _xyz(0.9642, 1, 0.8249), b"desc": b"desc" + struct.pack(">II", 0, 2) + b"x\0" + bytes(78), **tags}
    table, data = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    head = struct.pack(">I4sI4s4s4s12x4s", 0, b"none", 0x02400000, kind, space, connection, b"acsp")
    head = head.ljust(68, b"\0") + _fixed(0.9642, 1, 0.8249)
    whole = head.ljust(128, b"\0") + table + data
    return struct.pack(">I", len(whole)) + whole[4:]


def _camera(gamma: float, *primaries: tuple[float, float, float]) -> bytes:
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(gamma))
    return _profile(
        b"mntr", b"RGB ", b"XYZ ", {**{n: _xyz(*p) for n, p in zip(names, primaries, strict=True)}, **curves}
    )


def _table(space: bytes, channels: int, lab) -> bytes:
    """A profile with a table (lut8Type) of two points a channel: `lab` gives L* of 100, a* and b* of each corner."""
    corners = itertools.product((0, 1), repeat=channels)
    points = bytes(v for c in corners for v in (round(lab(*c)[0] * 2.55), *(round(x) + 128 for x in lab(*c)[1:])))
    straight = bytes(range(256))
    matrix = _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut = b"mft1" + struct.pack(">IBBBx", 0, channels, 3, 2) + matrix + straight * channels + points + straight * 3
    return _profile(b"prtr", space, b"Lab ", {b"A2B0": lut})


ADOBE_RGB = _camera(2.2, (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = _camera(2.2, (0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
GREY = _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _gamma(1.4)})
PRESS = _table(
    b"CMYK",
    4,
    lambda c, m, y, k: (
        (95 - 40 * c - 47 * m - 6 * y) * (1 - 0.8 * k) * (0.7 if c + m + y > 1 else 1),
        (-37 * c + 74 * m - 5 * y) * (1 - k),
        (-50 * c - 3 * m + 93 * y) * (1 - k),
    ),
)
XYB = _table(b"RGB ", 3, lambda x, y, b: (100 * y, 80 * (x - 0.5), -80 * (b - y)))
"""Its channels are no red, green and blue: without the profile the picture is another."""
