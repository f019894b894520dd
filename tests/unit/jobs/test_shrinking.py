"""Reference images for providers that take fewer bytes: what is lost first is not seen."""

import io

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


def test_what_a_provider_takes_together_is_shared_by_the_references_of_a_call():
    gemini = Catalog.load(None).family("gemini", "gemini-3-pro-image")
    openai = Catalog.load(None).family("openai", "gpt-image-2")

    assert gemini.reference_bytes((9_000_000, 4_000_000)) is None
    assert gemini.reference_bytes((9_000_000, 8_000_000)) == 7_000_000
    assert openai.reference_bytes((27_000_000, 27_000_000)) == 50_000_000
