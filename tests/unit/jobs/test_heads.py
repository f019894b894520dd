"""What a far end's bytes are, and how large, by their heads alone: whatever they are, reading them never fails."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jobs.pictures.heads import Head, read_head
from tests.unit.jobs.picture_files import IDAT, IEND, chunk, header, png

FORMS = {
    "image/png": ("PNG", {}),
    "image/jpeg": ("JPEG", {"progressive": True}),
    "image/webp": ("WEBP", {}),
    "image/avif": ("AVIF", {"speed": 10}),
    "image/bmp": ("BMP", {}),
    "image/gif": ("GIF", {}),
    "image/jp2": ("JPEG2000", {}),
    "image/tiff": ("TIFF", {}),
}
SVG = b'<?xml version="1.0"?><!-- a fox --><svg xmlns="x" width="48px" height="32"><path d="M0 0"/></svg>'
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0\0\0\x14ispe\0\0\0\0\0\0\0\x30\0\0\0\x20"


def made(kind, **more):
    form, options = FORMS[kind]
    out = io.BytesIO()
    Image.effect_noise((48, 32), 30).convert("RGB").save(out, form, **options, **more)
    return out.getvalue()


@pytest.mark.parametrize("kind", FORMS)
def test_each_kind_is_told_with_its_size(kind):
    assert read_head(made(kind)) == Head(kind, 48, 32, whole=True)


@pytest.mark.parametrize(("data", "kind"), [(SVG, "image/svg+xml"), (HEIC, "image/heic")])
def test_kinds_that_nothing_here_makes_are_told_with_their_size(data, kind):
    assert read_head(data) == Head(kind, 48, 32, whole=True)


@pytest.mark.parametrize("options", [{"lossless": True}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}])
def test_every_form_of_webp_says_its_size(options):
    assert read_head(made("image/webp", **options)) == Head("image/webp", 48, 32, whole=True)


@pytest.mark.parametrize("side", ["width", "height"])
def test_a_drawing_without_a_size_has_none_or_that_of_its_view_box(side):
    boxed = SVG.replace(b'width="48px"', b'viewBox="0 0 96 64"').replace(b' height="32"', b"")
    bare = SVG.replace(side.encode(), b"other")

    assert read_head(boxed) == Head("image/svg+xml", 96, 64)
    assert read_head(bare) == Head("image/svg+xml")


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/webp", "image/avif", "image/gif"])
@pytest.mark.parametrize("part", [0.5, 0.95])
def test_a_torn_picture_says_its_size_and_that_it_is_torn(kind, part):
    data = made(kind)

    head = read_head(data[: int(len(data) * part)])

    assert (head.media_type, head.whole) == (kind, False)


def test_a_jpegs_size_is_read_over_segments_that_are_damaged():
    data = made("image/jpeg")
    damaged = data[:2] + b"\xff\xe1\xff\xf0Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff\xe2\0\x08MPF\0xx" + data[2:]

    assert read_head(damaged) == Head("image/jpeg", 48, 32)


def test_a_pngs_size_is_read_whatever_stands_beside_it():
    data = png(header(width=9, height=7), chunk(b"iCCP", b"x", crc=1), chunk(b"sRGB", b"xx"), IDAT, IEND)

    assert read_head(data) == Head("image/png", 9, 7)


@pytest.mark.parametrize(
    "data", [b"", b"this is no picture", b"RIFF____WAVEfmt ", b"<html><svg></svg>", b"BMW is a car"]
)
def test_what_is_no_picture_is_none(data):
    assert read_head(data) is None


@given(st.sampled_from(sorted(FORMS)), st.binary(max_size=64), st.integers(0, 200), st.integers(0, 400))
def test_no_bytes_whatsoever_make_it_fail(kind, noise, at, end):
    data = bytearray(_FILES.setdefault(kind, made(kind)))
    data[at : at + len(noise)] = noise

    for odd in (bytes(data), bytes(data[:end]), noise, data[:12] + noise):
        head = read_head(bytes(odd))
        assert head is None or head.width is None or head.width > 0


_FILES: dict[str, bytes] = {}
