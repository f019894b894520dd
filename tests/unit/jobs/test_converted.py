"""A picture made another kind: what stays of it, and what it cannot become."""

import io

import pytest
from PIL import Image, ImageCms

from jobs.pictures.convert import converted
from jobs.pictures.sniff import NotAPicture, measure
from tests.unit.jobs.profiles import ADOBE_RGB, PRESS

KINDS = ("image/png", "image/jpeg", "image/webp")
RED, CLEAR = (200, 30, 30, 255), (0, 0, 255, 0)


def picture(form="PNG", mode="RGBA", size=(40, 24), colour=RED, **more):
    out = io.BytesIO()
    Image.new("RGBA", size, colour).convert(mode).save(out, form, **more)
    return out.getvalue()


def opened(data):
    return Image.open(io.BytesIO(data))


def near(one, other, within=6):
    return all(abs(a - b) <= within for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("wanted", KINDS)
@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "RGB"), ("WEBP", "RGB")])
def test_every_kind_becomes_every_other_with_its_size_and_colours(form, mode, wanted):
    made = converted(picture(form, mode), wanted, 90)

    found = measure(made)
    assert (found.media_type, found.width, found.height) == (wanted, 40, 24)
    assert near(opened(made).convert("RGB").getpixel((5, 5)), RED[:3])


def test_what_is_transparent_becomes_white_in_a_jpeg_and_stays_in_a_webp():
    data = picture(colour=CLEAR)

    jpeg, webp = opened(converted(data, "image/jpeg", 100)), opened(converted(data, "image/webp", 100))

    assert near(jpeg.getpixel((5, 5)), (255, 255, 255))
    assert webp.convert("RGBA").getpixel((5, 5))[3] == 0


def test_cmyk_becomes_rgb_without_a_profile_that_is_not_its_own():
    data = picture("JPEG", "CMYK", icc_profile=b"made for ink")

    made = opened(converted(data, "image/png", 100))

    assert (made.mode, made.info.get("icc_profile")) == ("RGB", None)


@pytest.mark.parametrize("wanted", KINDS)
@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGBA"), ("JPEG", "RGB"), ("WEBP", "RGB"), ("JPEG", "CMYK")])
def test_colours_that_a_profile_means_otherwise_are_made_those_of_srgb(form, mode, wanted):
    profile = PRESS if mode == "CMYK" else ADOBE_RGB
    data = picture(form, mode, icc_profile=profile, quality=95)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    plain = opened(data).convert("CMYK" if mode == "CMYK" else "RGB")
    expected = ImageCms.profileToProfile(plain, source, ImageCms.createProfile("sRGB"), outputMode="RGB")

    made = opened(converted(data, wanted, 95))

    assert near(made.convert("RGB").getpixel((5, 5)), expected.getpixel((5, 5)))
    assert not near(made.convert("RGB").getpixel((5, 5)), plain.convert("RGB").getpixel((5, 5)))
    assert "icc_profile" not in made.info


@pytest.mark.parametrize("wanted", KINDS)
def test_grey_of_16_bits_is_scaled_to_8(wanted):
    out = io.BytesIO()
    Image.new("I;16", (40, 24), 40_000).save(out, "PNG")

    assert near(opened(converted(out.getvalue(), wanted, 95)).convert("RGB").getpixel((5, 5)), (156,) * 3)


def test_a_colour_profile_of_srgb_goes_along():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    made = converted(picture("JPEG", "RGB", icc_profile=profile), "image/webp", 80)

    assert opened(made).info["icc_profile"] == profile


def test_a_picture_that_is_stored_on_its_side_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6

    made, coloured = (
        converted(picture("JPEG", "RGB", exif=exif, **more), "image/png", 100)
        for more in ({}, {"icc_profile": ADOBE_RGB})
    )

    assert opened(made).size == opened(coloured).size == (24, 40)
    assert 0x0112 not in opened(made).getexif()


@pytest.mark.parametrize("kind", ["image/jpeg", "image/webp"])
def test_less_quality_is_fewer_bytes_down_to_nothing(kind):
    data = Image.effect_noise((200, 200), 80)
    out = io.BytesIO()
    data.save(out, "PNG")

    sizes = [len(converted(out.getvalue(), kind, quality)) for quality in (0, 1, 30, 60, 100)]

    assert sizes == sorted(sizes)
    assert sizes[0] * 3 < sizes[-1]


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", picture()[:-30], picture("JPEG", "RGB", size=(400, 400))[:300]],
    ids=["nothing", "none", "torn PNG", "torn JPEG"],
)
def test_what_cannot_be_decoded_is_refused(data):
    with pytest.raises(NotAPicture):
        converted(data, "image/webp", 90)


def test_a_side_that_webp_cannot_hold_is_refused():
    with pytest.raises(NotAPicture, match="image/webp"):
        converted(picture(size=(16_400, 2)), "image/webp", 90)
