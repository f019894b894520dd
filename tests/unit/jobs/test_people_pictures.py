"""Two hundred pictures of people's cameras and programs: each goes in and comes out as it is to be seen."""

import io

import pytest
from PIL import Image, ImageChops, ImageStat

from jobs.pictures.convert import converted
from jobs.pictures.gate import PNG_AND_JPEG, validate
from tests.unit.jobs.people_pictures import pictures

ALL = PNG_AND_JPEG | {"image/webp"}
EVERY = {name: (data, seen) for name, data, seen in pictures()}


def difference(data, seen):
    picture = Image.open(io.BytesIO(data))
    if picture.mode == "I;16":
        picture = picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    assert picture.size == seen.size
    return ImageChops.difference(picture.convert(seen.mode), seen)


def largest(apart):
    return max(most for _, most in apart.getextrema())


def test_there_are_two_hundred():
    assert len(EVERY) >= 200


@pytest.mark.parametrize("name", EVERY)
def test_what_goes_in_is_what_is_seen(name):
    data, seen = EVERY[name]

    clean = validate(data, None, ALL)

    apart = difference(clean.data, seen)
    assert (clean.width, clean.height) == seen.size
    assert max(ImageStat.Stat(apart).mean) <= 2
    if clean.media_type == "image/png":
        assert largest(apart) <= 2
    for kept in (b"Exif", b"ICC_PROFILE", b"iCCP", b"eXIf", b"GainMap", b"MPF\0"):
        assert kept not in clean.data


@pytest.mark.parametrize("name", [name for name in EVERY if not name.startswith("JPEG without its end")])
def test_what_is_converted_on_its_way_out_is_what_is_seen(name):
    data, seen = EVERY[name]
    if "damaged" in name or "spare" in name:
        data = validate(data, None).data

    assert largest(difference(converted(data, "image/png", 100), seen)) <= 2
