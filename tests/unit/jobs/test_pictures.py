"""The picture gate: what is let in equals what Pillow reads, and what is not is refused in words."""

import contextlib
import io
import itertools
import struct
import tempfile
import threading
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageOps, ImageStat

from jobs.pictures.gate import PNG_AND_JPEG, validate
from jobs.pictures.sniff import MAX_BYTES, NotAPicture, measure, sniff
from tests.unit.jobs.picture_files import (
    IDAT,
    IEND,
    PLAIN,
    SIGNATURE,
    chunk,
    chunks,
    exif,
    gradient,
    header,
    png,
    rebuilt,
    rows,
    saved,
    segment,
    segments,
    zeros,
)

SUITE = sorted((Path(__file__).parents[2] / "fixtures/pngsuite").glob("*.png"))
GOOD = [path for path in SUITE if not path.name.startswith("x")]
CORRUPT = [path for path in SUITE if path.name.startswith("x")]
ALL = PNG_AND_JPEG | {"image/webp"}


def opened(data):
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def same_pixels(one, other):
    assert one.size == other.size
    assert one.convert("RGBA").tobytes() == other.convert("RGBA").tobytes()
    if one.mode == other.mode:
        assert (one.tobytes(), one.getpalette()) == (other.tobytes(), other.getpalette())


def alike(one, other, within=2):
    assert (one.size, one.mode) == (other.size, other.mode)
    assert max(ImageStat.Stat(ImageChops.difference(one, other)).mean) <= within


def test_the_suite_is_whole():
    assert (len(GOOD), len(CORRUPT)) == (161, 14)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_every_sound_file_of_pngsuite_is_let_in_and_keeps_its_pixels(path):
    before = path.read_bytes()

    validated = validate(before, "image/png")

    assert (validated.media_type, (validated.width, validated.height)) == ("image/png", opened(before).size)
    assert opened(validated.data).mode == opened(before).mode
    same_pixels(opened(validated.data), opened(before))


@pytest.mark.parametrize("path", CORRUPT, ids=lambda path: path.stem)
def test_every_corrupt_file_of_pngsuite_is_refused(path):
    with pytest.raises(NotAPicture):
        validate(path.read_bytes(), "image/png")


JPEG = saved(gradient(), "JPEG", quality=90)
PROGRESSIVE = saved(gradient(), "JPEG", progressive=True)
PARTS = segments(JPEG)
WEBP = saved(gradient(), "WEBP", lossless=True)
PALETTE = chunk(b"PLTE", bytes(range(12)))
INDEXED = (header(colour=3, depth=8), PALETTE)
INDEXED_ROWS = chunk(b"IDAT", rows(4, 4))
GAMMA = chunk(b"gAMA", struct.pack(">I", 45_455))
CMYK = saved(gradient("CMYK"), "JPEG")
GPS = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + b"GPS 47.3769 N secret"
THUMBNAIL = exif(1)[:-4] + struct.pack("<I", 26) + bytes(6) + b"secret thumbnail" + JPEG


def with_segment(marker, body):
    return b"\xff\xd8" + segment(marker, body) + JPEG[2:]


def frame(marker=0xC0, precision=8, height=32, width=48):
    """The JPEG with another frame header."""
    return rebuilt(
        [
            (m, segment(marker, struct.pack(">BHH", precision, height, width) + part[9:]) if m == 0xC0 else part)
            for m, part in PARTS
        ]
    )


def repeated(parts, marker, times):
    """A JPEG whose first segment of the kind stands several times."""
    at = next(i for i, part in enumerate(parts) if part[0] == marker)
    return rebuilt(parts[:at] + parts[at : at + 1] * times + parts[at + 1 :])


def wide(webp, width, height):
    """A lossless WebP that says another size."""
    (bits,) = struct.unpack_from("<I", webp, 21)
    return webp[:21] + struct.pack("<I", bits & ~0xFFFFFFF | (height - 1) << 14 | (width - 1)) + webp[25:]


ACCEPTED = {
    "PNG with bytes after its end": (PLAIN + b"trailing", PLAIN),
    "PNG that is a ZIP, too": (PLAIN + b"PK\x03\x04" + bytes(100), PLAIN),
    "PNG with a page behind it": (PLAIN + b"<script>alert(1)</script>", PLAIN),
    "PNG with text": (png(header(), chunk(b"tEXt", b"Comment\0<script>"), IDAT, IEND), PLAIN),
    "PNG with an archive behind its end": (PLAIN + b"GIF89a<html>" + PLAIN, PLAIN),
    "PNG with a broken chunk behind its end": (PLAIN + chunk(b"IDAT", b"", 1), PLAIN),
    "PNG with text behind its pixels": (png(header(), IDAT, chunk(b"iTXt", b"secret"), IEND), PLAIN),
    "PNG with 4 MB of text": (png(header(), chunk(b"tEXt", bytes(4 * 2**20)), IDAT, IEND), PLAIN),
    "PNG with a chunk of its maker's": (png(header(), chunk(b"seCr", b"secret"), IDAT, IEND), PLAIN),
    "PNG with its gamma": (png(header(), GAMMA, IDAT, IEND), None),
    "PNG with its gamma twice": (
        png(header(), GAMMA, chunk(b"gAMA", b"\0\0\0\1"), IDAT, IEND),
        png(header(), GAMMA, IDAT, IEND),
    ),
    "PNG with its gamma too late": (png(header(), IDAT, GAMMA, IEND), PLAIN),
    "PNG with a gamma too short": (png(header(), chunk(b"gAMA", b"\1"), IDAT, IEND), PLAIN),
    "PNG with a page for its primaries": (png(header(), chunk(b"cHRM", b"<script>"), IDAT, IEND), PLAIN),
    "PNG with a page for its intent": (png(header(), IDAT, chunk(b"sRGB", b"<script>"), IEND), PLAIN),
    "PNG with a suggested palette": (png(header(), PALETTE, IDAT, IEND), None),
    "PNG in grey with a transparent colour": (
        png(header(colour=0), chunk(b"tRNS", b"\0\0"), INDEXED_ROWS, IEND),
        None,
    ),
    "PNG in RGB with a transparent colour": (png(header(), chunk(b"tRNS", bytes(6)), IDAT, IEND), None),
    "PNG of one pixel": (png(header(1, 1), chunk(b"IDAT", rows(1, 3)), IEND), None),
    "PNG of 16 bits with alpha": (png(header(colour=6, depth=16), chunk(b"IDAT", rows(4, 32)), IEND), None),
    "PNG with EXIF": (png(header(), chunk(b"eXIf", b"MM\0*"), IDAT, IEND), PLAIN),
    "PNG with a profile that is a bomb": (
        png(header(), chunk(b"iCCP", b"x\0\0" + zeros(50)), IDAT, IEND),
        PLAIN,
    ),
    "PNG with text that is a bomb": (
        png(header(), chunk(b"zTXt", b"x\0\0" + zeros(50)), IDAT, IEND),
        PLAIN,
    ),
    "PNG with its data in many chunks": (
        png(header(), *(chunk(b"IDAT", rows()[i : i + 3]) for i in range(0, len(rows()), 3)), IEND),
        PLAIN,
    ),
    "PNG with an empty chunk of data": (png(header(), chunk(b"IDAT"), IDAT, IEND), PLAIN),
    "PNG of 16 bits": (saved(Image.new("I;16", (4, 4), 40_000)), None),
    "PNG of one bit": (saved(gradient("1")), None),
    "PNG with a palette": (saved(gradient("P")), None),
    "PNG with a palette that is partly transparent": (
        png(*INDEXED, chunk(b"tRNS", b"\0\x80"), INDEXED_ROWS, IEND),
        None,
    ),
    "PNG with alpha": (saved(gradient("RGBA")), None),
    "PNG in grey with alpha": (saved(gradient("LA")), None),
    "PNG with an archive in its data": (png(header(), chunk(b"IDAT", rows() + b"PK\x03\x04"), IEND), PLAIN),
    "PNG with an archive in data of its own": (png(header(), IDAT, chunk(b"IDAT", b"PK\x03\x04"), IEND), PLAIN),
    "PNG with a wrong sum in its text": (png(header(), chunk(b"tEXt", b"secret", 1), IDAT, IEND), PLAIN),
    "PNG with a wrong sum in its EXIF": (png(header(), chunk(b"eXIf", exif(6)[6:], 1), IDAT, IEND), PLAIN),
    "PNG with a wrong sum in its profile": (png(header(), chunk(b"iCCP", b"secret", 1), IDAT, IEND), PLAIN),
    "PNG with a profile that is none": (png(header(), chunk(b"iCCP", b"x\0\0secret"), IDAT, IEND), PLAIN),
    "JPEG": (JPEG, JPEG),
    "JPEG without its end": (JPEG[:-2], JPEG),
    "JPEG with half of its end": (JPEG[:-1], JPEG),
    "JPEG, progressive, without its end": (PROGRESSIVE[:-2], PROGRESSIVE),
    "JPEG with stray bytes between segments": (rebuilt([(m, p + b"\0\0secret" * (m < 0xDA)) for m, p in PARTS]), JPEG),
    "JPEG with stuffing between segments": (rebuilt([(m, p + b"\xff\0" * (m == 0xC4)) for m, p in PARTS]), JPEG),
    "JPEG, progressive": (PROGRESSIVE, PROGRESSIVE),
    "JPEG in grey": (saved(gradient("L"), "JPEG"), None),
    "JPEG with restart markers": (saved(gradient(size=(640, 480)), "JPEG", restart_marker_rows=1), None),
    "JPEG, extended": (rebuilt([(m, b"\xff\xc1" + p[2:] if m == 0xC0 else p) for m, p in PARTS]), None),
    "JPEG of whole colours": (saved(gradient(), "JPEG", subsampling=0), None),
    "JPEG of RGB": (saved(gradient(), "JPEG", keep_rgb=True), None),
    "JPEG of 200 scans": (repeated(segments(PROGRESSIVE), 0xDA, 191), None),
    "JPEG with a place": (with_segment(0xE1, GPS), JPEG),
    "JPEG with a small one in its EXIF": (with_segment(0xE1, THUMBNAIL), JPEG),
    "JPEG with XMP": (with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>secret</x>"), JPEG),
    "JPEG with IPTC": (with_segment(0xED, b"Photoshop 3.0\0secret"), JPEG),
    "JPEG with a small one in its JFIF": (
        rebuilt([(m, segment(m, p[4:16] + b"\1\2secret") if m == 0xE0 else p) for m, p in PARTS]),
        JPEG,
    ),
    "JPEG with a small one in its JFXX": (with_segment(0xE0, b"JFXX\0\x10secret"), JPEG),
    "JPEG with a stranger's Adobe": (with_segment(0xEE, b"secret"), JPEG),
    "JPEG with a marker that has no segment": (JPEG[:2] + b"\xff\x01\xff\xd3" + JPEG[2:], JPEG),
    "JPEG whose second EXIF turns it": (
        JPEG[:2] + segment(0xE1, exif(1)) + segment(0xE1, exif(6)) + JPEG[2:],
        JPEG,
    ),
    "JPEG with a comment": (with_segment(0xFE, b"a secret place"), JPEG),
    "JPEG with a comment that reads like EXIF": (with_segment(0xFE, exif(6)), JPEG),
    "JPEG with a profile": (with_segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(500)), JPEG),
    "JPEG with fill bytes": (JPEG[:2] + b"\xff\xff\xff" + JPEG[2:], JPEG),
    "JPEG with bytes after its end": (JPEG + b"PK\x03\x04 and more", JPEG),
    "JPEG with another behind it": (JPEG + JPEG, JPEG),
    "JPEG with EXIF that cannot be read": (with_segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"), JPEG),
    "JPEG with an orientation of 9": (with_segment(0xE1, exif(9)), JPEG),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_what_is_let_in_has_the_pixels_that_it_had_and_nothing_beside_them(what):
    data, clean = ACCEPTED[what]

    validated = validate(data, None)

    same_pixels(opened(validated.data), opened(clean or data))
    if clean is not None and "many chunks" not in what and "empty chunk" not in what:
        assert validated.data == validate(clean, None).data
    assert sniff(validated.data[:12]) == validated.media_type
    for unwanted in (b"script", b"PK\x03\x04", b"secret", b"ICC_PROFILE", b"Exif", b"GIF89a", b"GPS"):
        assert unwanted not in validated.data


REFUSED = {
    "nothing": (b"", "not JPEG or PNG"),
    "one byte": (b"\x89", "not JPEG or PNG"),
    "eleven bytes": (SIGNATURE + b"abc", "truncated"),
    "a GIF": (saved(gradient("P"), "GIF"), "not JPEG or PNG"),
    "a BMP": (saved(gradient(), "BMP"), "not JPEG or PNG"),
    "a TIFF": (saved(gradient(), "TIFF"), "not JPEG or PNG"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not JPEG or PNG"),
    "a page": (b"<!doctype html><p>no picture</p>", "not JPEG or PNG"),
    "a PDF": (b"%PDF-1.7\n", "not JPEG or PNG"),
    "a WebP where none is taken": (WEBP, "not JPEG or PNG"),
    "a GIF before a PNG": (b"GIF89a" + PLAIN, "not JPEG or PNG"),
    "a ZIP before a JPEG": (b"PK\x03\x04" + JPEG, "not JPEG or PNG"),
    "a PNG whose line ends were changed": (PLAIN.replace(b"\r\n", b"\n"), "not JPEG or PNG"),
    "too many bytes": (PLAIN + bytes(MAX_BYTES), "larger than"),
    "PNG cut in its header": (PLAIN[:20], "truncated"),
    "PNG cut in its data": (PLAIN[:50], "truncated"),
    "PNG without its end": (png(header(), IDAT), "truncated"),
    "PNG cut in its end": (PLAIN[:-1], "truncated"),
    "PNG without data": (png(header(), IEND), "not those of one picture"),
    "PNG with two headers": (png(header(), header(), IDAT, IEND), "not those of one picture"),
    "PNG with two palettes": (png(*INDEXED, PALETTE, INDEXED_ROWS, IEND), "not those of one picture"),
    "PNG with its header second": (png(chunk(b"tEXt", b"a\0b"), header(), IDAT, IEND), "header is not first"),
    "PNG with a short header": (png(chunk(b"IHDR", bytes(12)), IDAT, IEND), "header is not first"),
    "PNG of no width": (png(header(width=0), IDAT, IEND), "size is no size"),
    "PNG of no height": (png(header(height=0), IDAT, IEND), "size is no size"),
    "PNG of negative height": (png(header(height=2**32 - 1), IDAT, IEND), "size is no size"),
    "PNG just over 50 megapixels": (png(header(50_000_001, 1), IDAT, IEND), "more than 50000000 pixels"),
    "PNG of its signature alone": (SIGNATURE, "truncated"),
    "PNG whose chunk is longer than the file": (png(header(), b"\xff\xff\xff\xffIDAT"), "truncated"),
    "PNG with a long header": (png(chunk(b"IHDR", bytes(14)), IDAT, IEND), "header is not first"),
    "PNG with its header last": (png(header(), IDAT, header(), IEND), "not those of one picture"),
    "PNG with something at its end": (png(header(), IDAT, chunk(b"IEND", b"<script>")), "end is not empty"),
    "PNG of 50000 chunks": (png(header(), chunk(b"tEXt") * 49_998, IDAT, IEND), "too many pieces"),
    "PNG with an empty palette": (png(header(), chunk(b"PLTE"), IDAT, IEND), "palette does not fit"),
    "PNG with 257 colours": (png(header(), chunk(b"PLTE", bytes(771)), IDAT, IEND), "palette does not fit"),
    "PNG in grey and alpha with a palette": (png(header(colour=4), PALETTE, IDAT, IEND), "palette does not fit"),
    "PNG with a wrong sum in its palette": (png(header(), chunk(b"PLTE", bytes(12), 1), IDAT, IEND), "checksum"),
    "PNG with a wrong sum in its transparency": (png(header(), chunk(b"tRNS", bytes(6), 1), IDAT, IEND), "checksum"),
    "PNG with a wrong sum in its gamma": (png(header(), chunk(b"gAMA", bytes(4), 1), IDAT, IEND), "checksum"),
    "PNG in grey with the transparency of RGB": (
        png(header(colour=0), chunk(b"tRNS", bytes(6)), INDEXED_ROWS, IEND),
        "transparency does not fit",
    ),
    "PNG in RGB with the transparency of grey": (
        png(header(), chunk(b"tRNS", bytes(2)), IDAT, IEND),
        "transparency does not fit",
    ),
    "PNG with two transparencies": (
        png(header(), *[chunk(b"tRNS", bytes(6))] * 2, IDAT, IEND),
        "not those of one picture",
    ),
    "PNG with its transparency last": (png(header(), IDAT, chunk(b"tRNS", bytes(6)), IEND), "after its pixels"),
    "PNG with its transparency before its palette": (
        png(header(colour=3), chunk(b"tRNS", b"\0"), PALETTE, INDEXED_ROWS, IEND),
        "before its palette",
    ),
    "PNG without a byte of data": (png(header(), chunk(b"IDAT"), IEND), "truncated"),
    "PNG with one byte too few": (png(header(), chunk(b"IDAT", zlib.compress(bytes(51))), IEND), "fewer pixels"),
    "PNG with one byte too many": (png(header(), chunk(b"IDAT", zlib.compress(bytes(53))), IEND), "more pixels"),
    "PNG with a filter that is none": (
        png(header(), chunk(b"IDAT", zlib.compress(b"\5" + bytes(51))), IEND),
        "cannot be read",
    ),
    "PNG, interlaced, with the rows of one that is not": (png(header(interlace=1), IDAT, IEND), "fewer pixels"),
    "PNG of negative width": (png(header(width=2**31), IDAT, IEND), "size is no size"),
    "PNG of 8000x8000": (png(header(8_000, 8_000), IDAT, IEND), "more than 50000000 pixels"),
    "PNG as wide as can be": (png(header(2**31 - 1, 2**31 - 1), IDAT, IEND), "more than 50000000 pixels"),
    "PNG of an unknown colour type": (png(header(colour=5), IDAT, IEND), "header is not one"),
    "PNG with RGB of one bit": (png(header(depth=1), IDAT, IEND), "header is not one"),
    "PNG with a palette of 16 bits": (png(header(colour=3, depth=16), PALETTE, IDAT, IEND), "header is not one"),
    "PNG with another compression": (png(header(compression=1), IDAT, IEND), "header is not one"),
    "PNG with another filter": (png(header(filters=1), IDAT, IEND), "header is not one"),
    "PNG with another interlacing": (png(header(interlace=2), IDAT, IEND), "header is not one"),
    "PNG with a wrong sum in its header": (png(header()[:-4] + b"oops", IDAT, IEND), "checksum"),
    "PNG with a wrong sum in its data": (png(header(), chunk(b"IDAT", rows(), 1), IEND), "checksum"),
    "PNG with a wrong sum at its end": (png(header(), IDAT, chunk(b"IEND", b"", 1)), "checksum"),
    "PNG with an unknown critical chunk": (png(header(), chunk(b"ABCD"), IDAT, IEND), "unknown critical"),
    "PNG with a chunk of no name": (png(header(), chunk(b"a\0bc"), IDAT, IEND), "unknown critical"),
    "PNG with 5 MB of text": (png(header(), chunk(b"tEXt", bytes(5_000_000)), IDAT, IEND), "more text"),
    "PNG without its palette": (png(header(colour=3), INDEXED_ROWS, IEND), "no palette"),
    "PNG with a palette in thirds": (png(header(colour=3), chunk(b"PLTE", b"1234"), INDEXED_ROWS, IEND), "palette"),
    "PNG with too many colours": (
        png(header(colour=3, depth=1), chunk(b"PLTE", bytes(9)), INDEXED_ROWS, IEND),
        "palette does not fit",
    ),
    "PNG in grey with a palette": (png(header(colour=0), PALETTE, INDEXED_ROWS, IEND), "palette does not fit"),
    "PNG with its palette last": (png(header(colour=3), INDEXED_ROWS, PALETTE, IEND), "after its pixels"),
    "PNG with too much transparency": (
        png(*INDEXED, chunk(b"tRNS", bytes(5)), INDEXED_ROWS, IEND),
        "transparency does not fit",
    ),
    "PNG with alpha twice": (
        png(header(colour=6), chunk(b"tRNS", bytes(6)), chunk(b"IDAT", rows(4, 16)), IEND),
        "transparency does not fit",
    ),
    "PNG with its data in two places": (
        png(header(), chunk(b"IDAT", rows()[:5]), chunk(b"tEXt", b"a\0b"), chunk(b"IDAT", rows()[5:]), IEND),
        "not in one piece",
    ),
    "PNG with too few rows": (png(header(), chunk(b"IDAT", rows(3)), IEND), "fewer pixels"),
    "PNG with too many rows": (png(header(), chunk(b"IDAT", rows(5)), IEND), "more pixels"),
    "PNG with data cut short": (png(header(), chunk(b"IDAT", rows()[:-6]), IEND), "truncated"),
    "PNG with a wrong sum of its pixels": (png(header(), chunk(b"IDAT", rows()[:-4] + b"oops"), IEND), "damaged"),
    "PNG with data that is none": (png(header(), chunk(b"IDAT", b"not deflated"), IEND), "damaged"),
    "JPEG of its beginning alone": (JPEG[:4], "truncated"),
    "JPEG cut in a table": (JPEG[:100], "truncated"),
    "JPEG cut in its picture": (JPEG[:-20], "truncated"),
    "JPEG without a picture": (rebuilt([p for p in PARTS if p[0] != 0xDA]), "no picture"),
    "JPEG without a frame": (rebuilt([p for p in PARTS if p[0] != 0xC0]), "none of a picture"),
    "JPEG with two frames": (rebuilt([q for p in PARTS for q in ([p, p] if p[0] == 0xC0 else [p])]), "more than one"),
    "JPEG of 201 scans": (repeated(PARTS, 0xDA, 201), "too many scans"),
    "JPEG of 201 scans, progressive": (repeated(segments(PROGRESSIVE), 0xDA, 192), "too many scans"),
    "JPEG of 10000 comments": (JPEG[:2] + segment(0xFE, b"") * 10_000 + JPEG[2:], "too many pieces"),
    "JPEG of 10000 markers": (JPEG[:2] + b"\xff\x01" * 10_000 + JPEG[2:], "too many pieces"),
    "JPEG that only fills": (JPEG[:2] + b"\xff" * 1_000_000, "truncated or damaged"),
    "JPEG with a length of one": (JPEG[:2] + b"\xff\xfe\0\1" + JPEG[4:], "truncated"),
    "JPEG with a scan before its frame": (b"\xff\xd8" + PARTS[-2][1] + JPEG[2:], "none of a picture"),
    "JPEG of two components": (
        rebuilt([(m, segment(m, p[4:9] + b"\2" + p[10:16]) if m == 0xC0 else p) for m, p in PARTS]),
        "a kind that is not taken",
    ),
    "JPEG with a frame too short": (
        rebuilt([(m, segment(m, p[4:-1]) if m == 0xC0 else p) for m, p in PARTS]),
        "frame is damaged",
    ),
    "JPEG with a frame of nothing": (
        rebuilt([(m, segment(m, b"") if m == 0xC0 else p) for m, p in PARTS]),
        "frame is truncated",
    ),
    "JPEG of no width": (frame(width=0), "a kind that is not taken"),
    **{
        f"JPEG with a frame of kind {marker:X}": (frame(marker), "a kind that is not taken")
        for marker in (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
    },
    **{
        f"JPEG with a reserved segment {marker:X}": (with_segment(marker, b"secret"), "cannot be read")
        for marker in (0x02, 0xBF, 0xC8, 0xDE, 0xDF, 0xF0, 0xFD)
    },
    "JPEG of 12 bits": (frame(precision=12), "a kind that is not taken"),
    "JPEG that tells its height later": (frame(height=0), "a kind that is not taken"),
    "JPEG of 60000x60000": (frame(height=60_000, width=60_000), "more than 50000000 pixels"),
    "JPEG with a height in its scans": (with_segment(0xDC, b"\0\x20"), "a kind that is not taken"),
    "JPEG in a JPEG": (JPEG[:2] + b"\xff\xd8" + JPEG[2:], "a kind that is not taken"),
    "JPEG with a hole between segments": (JPEG[:2] + b"\0" + JPEG[2:], "not JPEG or PNG"),
    "JPEG whose tables are gone": (rebuilt([p for p in PARTS if p[0] != 0xDB]), "cannot be read"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_is_told_why(what):
    data, words = REFUSED[what]

    with pytest.raises(NotAPicture, match=words):
        validate(data, None)


def test_there_are_as_many_files_as_were_promised():
    assert len(ACCEPTED) >= 50
    assert len(REFUSED) >= 100


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (PLAIN + bytes(MAX_BYTES - len(PLAIN)), (4, 4)),
        (
            png(header(10_000, 5_000, 1, 0), chunk(b"IDAT", zlib.compress(bytes(5_000 * 1_251), 1)), IEND),
            (10_000, 5_000),
        ),
        (saved(Image.new("L", (10_000, 5_000)), "JPEG"), (10_000, 5_000)),
    ],
    ids=["20 MiB", "PNG of 50 megapixels", "JPEG of 50 megapixels"],
)
def test_what_is_just_as_large_as_may_be_is_let_in(data, size):
    validated = validate(data, None)

    assert (validated.width, validated.height) == size


RESTARTING = saved(gradient(), "JPEG", restart_marker_blocks=1)
END = b"\xff\xd9"


@pytest.mark.parametrize("whole", [PLAIN, ACCEPTED["PNG with alpha"][0], JPEG, PROGRESSIVE, CMYK, RESTARTING])
def test_wherever_a_file_is_cut_it_is_refused_but_for_the_end_of_a_jpeg(whole):
    for end in range(len(whole.removesuffix(END))):
        with pytest.raises(NotAPicture):
            validate(whole[:end], None)


@pytest.mark.parametrize("whole", [JPEG, PROGRESSIVE, CMYK, RESTARTING, saved(gradient("L"), "JPEG")])
@pytest.mark.parametrize("left", [b"", b"\xff", b"\xff\xff"])
def test_a_jpeg_with_all_of_its_pixels_needs_no_end(whole, left):
    assert validate(whole.removesuffix(END) + left, None) == validate(whole, None)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_jpeg_that_exif_turns_is_made_upright(orientation, order):
    turned = with_segment(0xE1, exif(orientation, order))
    upright = ImageOps.exif_transpose(opened(turned))

    validated = validate(turned, "image/jpeg")

    assert validated.media_type == "image/jpeg"
    assert (validated.width, validated.height) == upright.size == ((48, 32) if orientation < 5 else (32, 48))
    alike(opened(validated.data), upright)
    assert len(validated.data) < 1.2 * len(turned)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_png_and_a_webp_that_exif_turns_are_made_upright(orientation):
    for kind, picture in itertools.product(
        ("PNG", "WEBP"), (gradient(), gradient("RGBA"), gradient("P"), gradient("L"))
    ):
        turned = saved(picture, kind, exif=exif(orientation), **({} if kind == "PNG" else {"lossless": True}))

        validated = validate(turned, None, ALL)

        same_pixels(opened(validated.data), ImageOps.exif_transpose(opened(turned)))
        assert validated.media_type == "image/png"
        assert 0x0112 not in opened(validated.data).getexif()


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_jpeg_that_exif_leaves_upright_stays_as_it_is_but_for_its_exif(order):
    assert validate(with_segment(0xE1, exif(1, order)), None).data == JPEG


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("transform", [0, 2], ids=["CMYK", "YCCK"])
def test_a_cmyk_jpeg_is_made_rgb(orientation, transform):
    colours = CMYK.index(b"Adobe") + 11
    data = CMYK[:2] + segment(0xE1, exif(orientation)) + CMYK[2:colours] + bytes([transform]) + CMYK[colours + 1 :]

    validated = validate(data, "image/jpeg")

    assert (validated.media_type, opened(validated.data).mode) == ("image/png", "RGB")
    same_pixels(opened(validated.data), ImageOps.exif_transpose(opened(data)).convert("RGB"))


def test_of_an_animation_the_first_picture_is_kept():
    frames = [gradient("RGB"), Image.new("RGB", (48, 32), "blue")]
    animated = saved(frames[0], save_all=True, append_images=frames[1:])

    validated = validate(animated, "image/png")

    assert not hasattr(opened(validated.data), "n_frames") or opened(validated.data).n_frames == 1
    same_pixels(opened(validated.data), frames[0])


@pytest.mark.parametrize(("data", "mode"), [(WEBP, "RGB"), (saved(gradient("RGBA"), "WEBP", lossless=True), "RGBA")])
def test_a_webp_is_made_png_where_it_is_taken(data, mode):
    validated = validate(data, "image/webp", ALL)

    assert (validated.media_type, validated.width, validated.height) == ("image/png", 48, 32)
    assert opened(validated.data).mode in {mode, "RGB"}
    same_pixels(opened(validated.data), opened(data))


def test_of_an_animated_webp_the_first_picture_is_kept():
    frames = [gradient(), Image.new("RGB", (48, 32), "blue")]

    validated = validate(saved(frames[0], "WEBP", lossless=True, save_all=True, append_images=frames[1:]), None, ALL)

    same_pixels(opened(validated.data), frames[0])


@pytest.mark.parametrize(
    ("data", "declared", "is_"),
    [
        (PLAIN, "image/jpeg", "image/png"),
        (JPEG, "image/png", "image/jpeg"),
        (WEBP, "image/png", "image/webp"),
        (PLAIN, "image/gif", "image/png"),
        (PLAIN, "", "image/png"),
    ],
)
def test_a_declared_type_that_the_bytes_deny_is_refused_naming_both(data, declared, is_):
    with pytest.raises(NotAPicture, match=rf"{is_}, not the declared {declared}"):
        validate(data, declared, ALL)


@pytest.mark.parametrize(
    "bomb",
    [
        png(header(), chunk(b"IDAT", zeros(500)), IEND),
        png(header(7_000, 7_000, colour=6, depth=16), chunk(b"IDAT", zlib.compress(bytes(1_000))), IEND),
        png(header(), chunk(b"iCCP", b"x\0\0" + zeros(500)), IDAT, IEND),
        png(header(), chunk(b"zTXt", b"x\0\0" + zeros(500)), IDAT, IEND),
        wide(WEBP, 8_000, 8_000),
        wide(WEBP, 16_383, 16_383),
        frame(height=60_000, width=60_000),
    ],
    ids=["more pixels than said", "fewer pixels than said", "profile", "text", "WebP", "wide WebP", "JPEG"],
)
def test_a_bomb_costs_no_memory(bomb):
    tracemalloc.start()
    try:
        validate(bomb, None, ALL)
    except NotAPicture:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("head", "unit", "times", "tail"),
    [
        (png(header()), chunk(b"tEXt"), 1_700_000, IDAT + IEND),
        (png(header()), chunk(b"IDAT"), 1_700_000, IDAT + IEND),
        (JPEG[:2], segment(0xFE, b""), 5_000_000, JPEG[2:]),
        (JPEG[:2], b"\xff\x01", 10_000_000, JPEG[2:]),
        (JPEG[:2], b"\xff", 20_000_000, JPEG[2:]),
    ],
    ids=["empty texts", "empty pixels", "empty comments", "markers", "fill bytes"],
)
def test_twenty_megabytes_of_nothing_cost_less_than_a_second(head, unit, times, tail):
    flood = head + unit * times + tail
    began = time.process_time()

    try:
        validate(flood, None)
    except NotAPicture as error:
        assert "too many pieces" in str(error)  # noqa: PT017  # the fill bytes are let in

    assert time.process_time() - began < 1


def test_threads_that_let_pictures_in_leave_the_warnings_of_the_process_alone():
    large = saved(gradient(size=(600, 600)))
    validate(large, None)
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [validate(large, None) for _ in range(10)]) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert warnings.filters == before


@pytest.mark.parametrize("size", [(8_000, 8_000), (10_000, 10_000), (16_383, 16_383)])
def test_a_webp_that_says_it_is_over_50_megapixels_is_refused(size):
    with pytest.raises(NotAPicture, match=r"more than 50000000|cannot be read"):
        validate(wide(WEBP, *size), None, ALL)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PLAIN, "image/png"),
        (JPEG, "image/jpeg"),
        (WEBP, "image/webp"),
        (PLAIN[:8], "image/png"),
        (JPEG[:3], "image/jpeg"),
        (PLAIN[:7], None),
        (JPEG[:2], None),
        (WEBP[:11], None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"GIF89a......", None),
        (b"", None),
    ],
)
def test_the_first_twelve_bytes_tell_the_kind(data, kind):
    assert sniff(data[:12]) == kind


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (PLAIN[:45], ("image/png", 4, 4)),
        (JPEG[: JPEG.index(b"\xff\xda") + 20], ("image/jpeg", 48, 32)),
        (with_segment(0xE1, exif(6)), ("image/jpeg", 48, 32)),
        (WEBP, ("image/webp", 48, 32)),
    ],
    ids=["PNG", "JPEG", "JPEG as it is stored", "WebP"],
)
def test_a_size_is_read_from_the_header_alone(head, expected):
    measured = measure(head)

    assert (measured.media_type, measured.width, measured.height) == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(header(8_000, 8_000), IDAT, IEND), "8000x8000 is more than 50000000 pixels"),
        (frame(height=8_000, width=8_000), "8000x8000 is more than 50000000 pixels"),
        (b"no picture at all", "neither PNG nor JPEG nor WebP"),
        (b"", "neither"),
        (SIGNATURE, "cannot be read"),
        (JPEG[:20], "cannot be read"),
        (WEBP[:20], "cannot be read"),
    ],
)
def test_what_has_no_size_that_we_take_is_not_measured(data, words):
    with pytest.raises(NotAPicture, match=words):
        measure(data)


SEEDS = [PLAIN, saved(gradient("RGBA")), saved(gradient("P"), transparency=0), JPEG, PROGRESSIVE, CMYK, WEBP]
TURNED = with_segment(0xE1, exif(6))


def held(data):
    """Let the bytes in or refuse them, and nothing else, and that soon."""
    began = time.process_time()
    try:
        validated = validate(data, None, ALL)
        assert opened(validated.data).size == (validated.width, validated.height)
        assert sniff(validated.data[:12]) == validated.media_type == Image.MIME[opened(validated.data).format]
    except NotAPicture:
        pass
    with contextlib.suppress(NotAPicture):
        assert measure(data).media_type == sniff(data[:12])
    assert time.process_time() - began < 1


@settings(max_examples=1_500, deadline=None)
@given(st.sampled_from(SEEDS), st.sampled_from(SEEDS), st.randoms(use_true_random=False))
def test_however_a_file_is_mangled_it_is_a_picture_or_refused(seed, other, chance):
    at, byte = chance.randrange(len(seed)), bytes([chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])])

    for mangled in (
        seed[:at] + byte + seed[at + 1 :],
        seed[:at],
        seed[:at] + seed[at + chance.randint(1, 9) :],
        seed[:at] + seed[at // 2 :],
        seed[:at] + byte + seed[at:],
        seed[:at] + other[chance.randrange(len(other)) :],
    ):
        held(mangled)


@settings(max_examples=1_000, deadline=None)
@given(
    st.sampled_from([chunks(seed) for seed in SEEDS[:3]]),
    st.sampled_from(
        [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"acTL", b"fcTL", b"iCCP"]
    ),
    st.binary(max_size=40) | st.integers(0, 40).map(bytes),
    st.randoms(use_true_random=False),
)
def test_however_a_pngs_chunks_are_mixed_with_sound_sums_it_is_a_picture_or_refused(seed, kind, body, chance):
    at, mixed = chance.randrange(len(seed)), list(seed)
    chance.shuffle(mixed)
    changed = bytearray(seed[at][1] or b"\0")
    changed[chance.randrange(len(changed))] = chance.randrange(256)

    for parts in (
        [*seed[:at], (kind, body), *seed[at:]],
        [*seed[:at], (kind, body), *seed[at + 1 :]],
        [*seed[:at], (seed[at][0], bytes(changed)), *seed[at + 1 :]],
        seed[:at] + seed[at + 1 :],
        mixed,
    ):
        held(png(*(chunk(*part) for part in parts)))


@settings(max_examples=1_000, deadline=None)
@given(
    st.sampled_from([segments(seed) for seed in (JPEG, PROGRESSIVE, CMYK, TURNED)]),
    st.integers(1, 0xFE),
    st.sampled_from([b"", b"JFIF\0", b"Adobe", b"Exif\0\0II*\0", b"Exif\0\0MM\0*", b"MPF\0II*\0"]),
    st.binary(max_size=40) | st.integers(0, 40).map(bytes),
    st.randoms(use_true_random=False),
)
def test_however_a_jpegs_segments_are_mixed_it_is_a_picture_or_refused(seed, marker, name, body, chance):
    at, mixed = chance.randrange(len(seed)), list(seed)
    chance.shuffle(mixed)
    changed = bytearray(seed[at][1])
    changed[chance.randrange(len(changed))] = chance.randrange(256)

    for parts in (
        [*seed[:at], (marker, segment(marker, name + body)), *seed[at:]],
        [*seed[:at], (marker, bytes(changed)), *seed[at + 1 :]],
        [*seed[:at], seed[at], *seed[at:]],
        seed[:at] + seed[at + 1 :],
        mixed,
    ):
        held(rebuilt(parts))


def large(mode):
    """Large enough to be worked on in two parts."""
    down = Image.linear_gradient("L").resize((1_001, 1_003))
    return down.convert("I;16") if mode == "I;16" else Image.merge("RGB", (down, down, down)).convert(mode)


@pytest.mark.parametrize("orientation", [3, 6, 7])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "P", "1", "I;16"])
def test_a_large_png_is_turned_part_by_part(mode, orientation):
    came = saved(large(mode), exif=exif(orientation), compress_level=1)

    clean = validate(came, None)

    assert clean.media_type == "image/png"
    same_pixels(opened(clean.data), ImageOps.exif_transpose(opened(came)))


def test_without_a_folder_for_temporary_files_pictures_are_worked_on_in_memory(monkeypatch):
    came = saved(large("RGB"), exif=exif(6), compress_level=1)
    with_folder = validate(came, None)
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")

    assert validate(came, None) == with_folder
