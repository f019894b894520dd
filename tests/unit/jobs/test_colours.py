"""Colours that a profile means otherwise than sRGB are made sRGB's, whichever kind of picture they come in."""

import io
import struct
import zlib

import pytest
from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat

from jobs.pictures.gate import PNG_AND_JPEG, validate
from tests.unit.jobs.picture_files import IEND, SIGNATURE, chunk, chunks, exif, gradient, png, saved
from tests.unit.jobs.profiles import ADOBE_RGB, DISPLAY_P3, GREY, PRESS, SRGB, XYB

ALL = PNG_AND_JPEG | {"image/webp"}
FORMS = [
    {"form": "JPEG", "quality": 92, "subsampling": 2},
    {"form": "JPEG", "quality": 92, "subsampling": 0},
    {"form": "PNG"},
    {"form": "WEBP", "lossless": True},
]


def opened(data):
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def in_srgb(picture, profile):
    """What Pillow makes of it."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")


def off(one, other):
    """How far apart two pictures are: of 255, the mean of the channel that is worst."""
    assert one.size == other.size
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean)


@pytest.mark.parametrize("profile", [ADOBE_RGB, DISPLAY_P3], ids=["Adobe RGB", "Display P3"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("options", FORMS, ids=str)
def test_colours_of_a_camera_are_made_those_of_srgb(profile, orientation, options):
    form, more = options["form"], {k: v for k, v in options.items() if k != "form"}
    came = saved(gradient(size=(96, 64)), form, icc_profile=profile, exif=exif(orientation), **more)
    expected = in_srgb(ImageOps.exif_transpose(opened(came)), profile)

    clean = validate(came, None, ALL)

    assert off(opened(clean.data), expected) <= 2
    assert off(ImageOps.exif_transpose(opened(came)), expected) > 2
    assert clean.media_type == ("image/jpeg" if form == "JPEG" else "image/png")
    assert "icc_profile" not in opened(clean.data).info


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "LA", "1", "I;16"])
def test_every_kind_of_png_is_made_srgb_with_its_transparency(mode):
    profile = GREY if mode in {"L", "LA", "1", "I;16"} else ADOBE_RGB
    picture = Image.new("I;16", (48, 32), 40_000) if mode == "I;16" else gradient(mode)
    came = saved(picture, icc_profile=profile)
    eight = Image.new("L", (48, 32), 156) if mode == "I;16" else picture.convert("L" if profile is GREY else "RGB")

    clean = opened(validate(came, None).data)

    assert off(clean, in_srgb(eight, profile)) <= 1
    if mode.endswith("A"):
        assert clean.getchannel("A").tobytes() == picture.getchannel("A").tobytes()


def test_a_jpeg_in_cmyk_is_read_by_the_profile_of_its_press():
    came = saved(gradient("CMYK"), "JPEG", icc_profile=PRESS)
    expected = in_srgb(opened(came), PRESS)

    clean = opened(validate(came, None).data)

    assert off(clean, expected) <= 1
    assert off(opened(came).convert("RGB"), expected) > 5


def test_a_jpeg_in_the_colours_of_xyb_is_read_by_its_profile():
    came = saved(gradient(size=(96, 64)), "JPEG", quality=95, keep_rgb=True, icc_profile=XYB)
    expected = in_srgb(opened(came), XYB)

    clean = validate(came, None)

    assert (clean.media_type, off(opened(came), expected) > 20) == ("image/jpeg", True)
    assert off(opened(clean.data), expected) <= 2


def test_a_grey_jpeg_is_read_by_its_profile_and_stays_grey():
    came = saved(gradient("L"), "JPEG", icc_profile=GREY)

    clean = opened(validate(came, None).data)

    assert clean.mode == "L"
    assert off(clean, in_srgb(opened(came), GREY)) <= 2


@pytest.mark.parametrize(
    "profile",
    [SRGB, b"no profile at all", ADOBE_RGB[:-200], GREY, PRESS, bytes(500), ADOBE_RGB[:40] + bytes(1_000),
     struct.pack(">I", 2**31) + ADOBE_RGB[4:]],
    ids=["sRGB", "none", "cut", "of grey", "of a press", "zeros", "no tags", "of two gigabytes"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_profile_of_srgb_and_one_that_does_not_fit_change_no_byte(profile, form):
    picture = gradient()

    assert validate(saved(picture, form, icc_profile=profile), None) == validate(saved(picture, form), None)


def test_of_a_profile_in_several_segments_all_have_to_be_there():
    long = PRESS.ljust(150_000, b"\0")
    long = struct.pack(">I", len(long)) + long[4:]
    came = saved(gradient("CMYK"), "JPEG", icc_profile=long)
    second = came.index(b"ICC_PROFILE\0\2") - 4
    (length,) = struct.unpack_from(">H", came, second + 2)

    whole, torn = validate(came, None), validate(came[:second] + came[second + 2 + length :], None)

    assert off(opened(whole.data), in_srgb(opened(came), long)) <= 1
    assert torn == validate(saved(gradient("CMYK"), "JPEG"), None)


def test_a_profile_that_inflates_to_more_than_it_says_is_read_as_far_as_it_says():
    came = saved(gradient(), icc_profile=ADOBE_RGB)
    bomb = chunk(b"iCCP", b"x\0\0" + zlib.compress(ADOBE_RGB + bytes(50_000_000), 9))
    parts = [chunk(kind, body) if kind != b"iCCP" else bomb for kind, body in chunks(came)]

    assert validate(png(*parts), None) == validate(came, None)
    assert png(*parts).startswith(SIGNATURE)
    assert png(*parts).endswith(IEND)
