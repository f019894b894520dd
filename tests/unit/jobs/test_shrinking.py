"""Reference images for providers that take fewer bytes: what is lost first is not seen."""

import io
import zlib

import pytest
from PIL import Image

from jobs.catalog.families import Catalog
from jobs.pictures.gate import validate_own
from jobs.pictures.shrinking import smaller
from jobs.pictures.sniff import NotAPicture
from tests.unit.jobs.picture_files import IDAT, IEND, chunk, exif, gradient, header, png, saved

NOISE = Image.effect_noise((400, 300), 80)


@pytest.mark.parametrize(("mode", "media_type"), [("RGB", "image/jpeg"), ("L", "image/jpeg"), ("RGBA", "image/webp")])
@pytest.mark.parametrize(("most_bytes", "size"), [(90_000, (400, 300)), (4_000, (50, 38))])
def test_quality_goes_first_and_pixels_only_when_that_is_not_enough(mode, media_type, most_bytes, size):
    picture = NOISE.convert(mode)
    if mode == "RGBA":
        picture.putalpha(gradient("L", (400, 300)))

    data, kind, width, height = smaller(saved(picture), most_bytes)

    made = Image.open(io.BytesIO(data))
    assert len(data) <= most_bytes
    assert (kind, (width, height)) == (media_type, made.size)
    assert width >= size[0]
    assert made.has_transparency_data == (mode == "RGBA")


def test_what_cannot_be_made_small_enough_is_refused():
    with pytest.raises(NotAPicture, match="fit in 10 bytes"):
        smaller(saved(NOISE), 10)


def test_a_picture_of_ours_is_taken_where_the_gate_is_too_strict():
    damaged_text = png(header(), chunk(b"gAMA", b"\0\0\0\1", 1), IDAT, IEND)
    spread = png(header(), IDAT, chunk(b"tEXt", b"a\0b"), chunk(b"IDAT"), IEND)

    assert [validate_own(d).media_type for d in (spread, saved(gradient(), "WEBP"))] == ["image/png"] * 2
    assert validate_own(saved(gradient(), "JPEG", exif=exif(6))).media_type == "image/jpeg"
    with pytest.raises(NotAPicture):
        validate_own(damaged_text)
    with pytest.raises(NotAPicture):
        validate_own(b"no picture")


@pytest.mark.parametrize("form", ["AVIF", "BMP", "GIF", "JPEG2000", "TIFF"])
def test_a_picture_of_ours_is_taken_in_whichever_format_its_provider_made_it(form):
    came = saved(gradient(), form)

    clean = validate_own(came)

    assert (clean.media_type, clean.width, clean.height) == ("image/png", 48, 32)
    assert Image.open(io.BytesIO(clean.data)).tobytes() == Image.open(io.BytesIO(came)).convert("RGB").tobytes()


def large(width, height, *more):
    return png(
        header(width, height, colour=0), *more, chunk(b"IDAT", zlib.compress(bytes((width + 1) * height), 1)), IEND
    )


def test_a_picture_of_ours_is_taken_however_many_pixels_it_has():
    plain, turned = large(10_400, 10_000), large(8_000, 7_000, chunk(b"eXIf", exif(6)[6:]))

    assert validate_own(plain).data == plain
    assert (validate_own(turned).width, validate_own(turned).height) == (7_000, 8_000)
    assert smaller(large(8_000, 7_000), 1_000_000)[2:] == (8_000, 7_000)


def test_a_large_picture_with_alpha_has_fewer_pixels_first():
    came = saved(Image.new("RGBA", (5_000, 3_000)), compress_level=1)

    assert smaller(came, 10_000_000)[1:] == ("image/webp", 2_500, 1_500)


def test_what_a_provider_takes_together_is_shared_by_the_references_of_a_call():
    gemini = Catalog.load(None).family("gemini", "gemini-3-pro-image")
    openai = Catalog.load(None).family("openai", "gpt-image-2")

    assert gemini.reference_bytes((9_000_000, 4_000_000)) is None
    assert gemini.reference_bytes((9_000_000, 8_000_000)) == 7_000_000
    assert openai.reference_bytes((27_000_000, 27_000_000)) == 50_000_000
