"""The picture gate: what is let in equals what Pillow reads, and what is not is refused in words."""

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from jobs.pictures import MOST_BYTES, PNG_AND_JPEG, NotAPicture, admit, measure, sniff
from tests.unit.jobs.picture_files import (
    IDAT,
    IEND,
    PLAIN,
    SIGNATURE,
    chunk,
    exif,
    gradient,
    header,
    png,
    rebuilt,
    rows,
    saved,
    segment,
    segments,
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


def test_the_suite_is_whole():
    assert len(GOOD) >= 160
    assert len(CORRUPT) >= 14


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_every_sound_file_of_pngsuite_is_let_in_and_keeps_its_pixels(path):
    before = path.read_bytes()

    admitted = admit(before, "image/png")

    assert (admitted.media_type, (admitted.width, admitted.height)) == ("image/png", opened(before).size)
    assert opened(admitted.data).mode == opened(before).mode
    same_pixels(opened(admitted.data), opened(before))


@pytest.mark.parametrize("path", CORRUPT, ids=lambda path: path.stem)
def test_every_corrupt_file_of_pngsuite_is_refused(path):
    with pytest.raises(NotAPicture):
        admit(path.read_bytes(), "image/png")


JPEG = saved(gradient(), "JPEG", quality=90)
PROGRESSIVE = saved(gradient(), "JPEG", progressive=True)
PARTS = segments(JPEG)
WEBP = saved(gradient(), "WEBP", lossless=True)
PALETTE = chunk(b"PLTE", bytes(range(12)))
INDEXED = (header(colour=3, depth=8), PALETTE)
INDEXED_ROWS = chunk(b"IDAT", rows(4, 4))


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


SCAN = next(part for marker, part in PARTS if marker == 0xDA)
ACCEPTED = {
    "PNG with bytes after its end": (PLAIN + b"trailing", PLAIN),
    "PNG that is a ZIP, too": (PLAIN + b"PK\x03\x04" + bytes(100), PLAIN),
    "PNG with a page behind it": (PLAIN + b"<script>alert(1)</script>", PLAIN),
    "PNG with text": (png(header(), chunk(b"tEXt", b"Comment\0<script>"), IDAT, IEND), PLAIN),
    "PNG with EXIF": (png(header(), chunk(b"eXIf", b"MM\0*"), IDAT, IEND), PLAIN),
    "PNG with a profile that is a bomb": (
        png(header(), chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(50_000_000))), IDAT, IEND),
        PLAIN,
    ),
    "PNG with text that is a bomb": (
        png(header(), chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(50_000_000))), IDAT, IEND),
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
    "JPEG": (JPEG, JPEG),
    "JPEG, progressive": (PROGRESSIVE, PROGRESSIVE),
    "JPEG in grey": (saved(gradient("L"), "JPEG"), None),
    "JPEG with restart markers": (saved(gradient(size=(640, 480)), "JPEG", restart_marker_rows=1), None),
    "JPEG with a comment": (with_segment(0xFE, b"a secret place"), JPEG),
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

    admitted = admit(data, None)

    same_pixels(opened(admitted.data), opened(clean or data))
    if clean is not None and "many chunks" not in what and "empty chunk" not in what:
        assert admitted.data == admit(clean, None).data
    assert sniff(admitted.data[:12]) == admitted.media_type
    for unwanted in (b"script", b"PK\x03\x04", b"secret", b"ICC_PROFILE", b"Exif", b"iCCP", b"zTXt"):
        assert unwanted not in admitted.data


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
    "too many bytes": (PLAIN + bytes(MOST_BYTES), "larger than"),
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
    "PNG with a wrong sum in its text": (png(header(), chunk(b"tEXt", b"a\0b", 1), IDAT, IEND), "checksum"),
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
    "JPEG without its end": (JPEG[:-2], "truncated"),
    "JPEG without a picture": (rebuilt([p for p in PARTS if p[0] != 0xDA]), "no picture"),
    "JPEG without a frame": (rebuilt([p for p in PARTS if p[0] != 0xC0]), "none of a picture"),
    "JPEG with two frames": (rebuilt([q for p in PARTS for q in ([p, p] if p[0] == 0xC0 else [p])]), "more than one"),
    "JPEG of 201 scans": (
        rebuilt([q for p in PARTS for q in ([p] * 201 if p[0] == 0xDA else [p])]),
        "too many scans",
    ),
    "JPEG without loss": (frame(0xC3), "a kind that is not taken"),
    "JPEG in arithmetic coding": (frame(0xC9), "a kind that is not taken"),
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
        admit(data, None)


def test_there_are_as_many_files_as_were_promised():
    assert len(ACCEPTED) >= 20
    assert len(ACCEPTED) + len(REFUSED) >= 60


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_jpeg_that_exif_turns_is_made_upright(orientation, order):
    turned = with_segment(0xE1, exif(orientation, order))
    upright = ImageOps.exif_transpose(opened(turned))

    admitted = admit(turned, "image/jpeg")

    assert admitted.media_type == "image/png"
    assert (admitted.width, admitted.height) == upright.size == ((48, 32) if orientation < 5 else (32, 48))
    same_pixels(opened(admitted.data), upright)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_cmyk_jpeg_is_made_rgb(orientation):
    data = saved(gradient("CMYK"), "JPEG")
    data = data[:2] + segment(0xE1, exif(orientation)) + data[2:]

    admitted = admit(data, "image/jpeg")

    same_pixels(opened(admitted.data), ImageOps.exif_transpose(opened(data)).convert("RGB"))


def test_of_an_animation_the_first_picture_is_kept():
    frames = [gradient("RGB"), Image.new("RGB", (48, 32), "blue")]
    animated = saved(frames[0], save_all=True, append_images=frames[1:])

    admitted = admit(animated, "image/png")

    assert not hasattr(opened(admitted.data), "n_frames") or opened(admitted.data).n_frames == 1
    same_pixels(opened(admitted.data), frames[0])


@pytest.mark.parametrize(("data", "mode"), [(WEBP, "RGB"), (saved(gradient("RGBA"), "WEBP", lossless=True), "RGBA")])
def test_a_webp_is_made_png_where_it_is_taken(data, mode):
    admitted = admit(data, "image/webp", ALL)

    assert (admitted.media_type, admitted.width, admitted.height) == ("image/png", 48, 32)
    assert opened(admitted.data).mode in {mode, "RGB"}
    same_pixels(opened(admitted.data), opened(data))


def test_an_animated_webp_is_refused():
    frames = [gradient(), Image.new("RGB", (48, 32), "blue")]

    with pytest.raises(NotAPicture, match="animation"):
        admit(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]), None, ALL)


@pytest.mark.parametrize(
    ("data", "declared", "is_"), [(PLAIN, "image/jpeg", "image/png"), (JPEG, "image/png", "image/jpeg")]
)
def test_a_declared_type_that_the_bytes_deny_is_refused_naming_both(data, declared, is_):
    with pytest.raises(NotAPicture, match=rf"{is_}, not the declared {declared}"):
        admit(data, declared)


@pytest.mark.parametrize(
    "bomb",
    [
        png(header(4, 4), chunk(b"IDAT", zlib.compress(bytes(200_000_000))), IEND),
        png(header(7_000, 7_000, colour=6, depth=16), chunk(b"IDAT", zlib.compress(bytes(1_000))), IEND),
        png(header(), chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(200_000_000))), IDAT, IEND),
    ],
    ids=["more pixels than it says", "fewer pixels than it says", "profile"],
)
def test_a_bomb_costs_no_memory(bomb):
    tracemalloc.start()
    try:
        admit(bomb, None)
    except NotAPicture:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("data", "kind"), [(PLAIN, "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp"), (b"GIF89a......", None)]
)
def test_the_first_twelve_bytes_tell_the_kind(data, kind):
    assert sniff(data[:12]) == kind


def test_a_size_is_read_from_the_header_alone():
    measured = measure(PLAIN[:45])

    assert (measured.media_type, measured.width, measured.height) == ("image/png", 4, 4)
    with pytest.raises(NotAPicture, match="pixels"):
        measure(png(header(8_000, 8_000), IDAT, IEND))
    with pytest.raises(NotAPicture, match="neither"):
        measure(b"no picture at all")


SEEDS = [PLAIN, saved(gradient("RGBA")), saved(gradient("P"), transparency=0), JPEG, PROGRESSIVE, WEBP]


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_however_a_file_is_mangled_it_is_a_picture_or_refused(seed, data):
    at = data.draw(st.integers(0, len(seed) - 1))
    mangled = data.draw(
        st.sampled_from(
            [
                seed[:at] + bytes([seed[at] ^ 1 << at % 8]) + seed[at + 1 :],
                seed[:at],
                seed[:at] + seed[at + 1 :],
                seed[:at] + seed[at // 2 :],
                seed[:at] + b"\xff" + seed[at:],
            ]
        )
    )

    try:
        admitted = admit(mangled, None, ALL)
    except NotAPicture:
        return
    assert opened(admitted.data).size == (admitted.width, admitted.height)
    assert sniff(admitted.data[:12]) == admitted.media_type
