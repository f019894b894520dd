"""Masks: PNG, the reference's size, something fully transparent; they go on as 8-bit RGBA."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jobs.pictures import NotAPicture, admit_mask
from tests.unit.jobs.picture_files import IEND, chunk, gradient, header, png, rows, saved

SIZE = (4, 4)
PALETTE = chunk(b"PLTE", bytes(range(12)))


def opened(data):
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def rgba(alphas=(0,) * 16, size=SIZE):
    image = Image.new("RGBA", size, (9, 9, 9, 255))
    image.putalpha(Image.frombytes("L", size, bytes(alphas)))
    return image


MASKS = {
    "RGBA": saved(rgba()),
    "grey with alpha": saved(rgba().convert("LA")),
    "RGBA of 16 bits": png(header(colour=6, depth=16), chunk(b"IDAT", rows(4, 32)), IEND),
    "grey with alpha of 16 bits": png(header(colour=4, depth=16), chunk(b"IDAT", rows(4, 16)), IEND),
    "palette with transparency": png(
        header(colour=3), PALETTE, chunk(b"tRNS", b"\0"), chunk(b"IDAT", rows(4, 4)), IEND
    ),
    "grey with a transparent colour": png(header(colour=0), chunk(b"tRNS", b"\0\0"), chunk(b"IDAT", rows(4, 4)), IEND),
    "RGB with a transparent colour": png(header(), chunk(b"tRNS", bytes(6)), chunk(b"IDAT", rows()), IEND),
    "RGBA with a hole": saved(rgba((255,) * 15 + (0,))),
    "RGBA with text and a tail": saved(rgba(), optimize=True) + b"tail",
}


@pytest.mark.parametrize("what", MASKS)
def test_every_way_to_write_transparency_is_a_mask_and_goes_on_as_rgba(what):
    mask = admit_mask(MASKS[what], SIZE)

    assert (opened(mask.data).mode, opened(mask.data).size, mask.media_type) == ("RGBA", SIZE, "image/png")
    expected = opened(MASKS[what]).convert("RGBA").getchannel("A").tobytes()
    assert opened(mask.data).getchannel("A").tobytes() == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (saved(gradient("RGB", SIZE)), "must have an alpha channel"),
        (saved(gradient("L", SIZE)), "must have an alpha channel"),
        (png(header(colour=3), PALETTE, chunk(b"IDAT", rows(4, 4)), IEND), "must have an alpha channel"),
        (saved(rgba((255,) * 16)), "nothing would be repainted"),
        (saved(rgba((1,) * 16)), "nothing would be repainted"),
        (saved(rgba(size=(2, 8))), "it is 2x8, the reference image 4x4"),
        (saved(gradient("RGB", SIZE), "JPEG"), "must be a PNG"),
        (saved(rgba(), "WEBP"), "must be a PNG"),
        (b"", "must be a PNG"),
        (MASKS["RGBA"][:-5], "truncated"),
    ],
)
def test_what_cannot_be_a_mask_is_told_why(data, words):
    with pytest.raises(NotAPicture, match=words):
        admit_mask(data, SIZE)


def test_without_a_known_reference_any_size_will_do():
    assert admit_mask(saved(rgba(size=(2, 8))), None).width == 2


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.sampled_from(["RGBA", "LA"]),
    st.data(),
)
def test_a_mask_is_taken_exactly_when_it_fits_and_has_a_hole_and_its_alpha_stays(size, reference, mode, data):
    count = size[0] * size[1]
    alphas = data.draw(st.lists(st.sampled_from([0, 1, 128, 254, 255]), min_size=count, max_size=count))
    fits = size == reference and 0 in alphas

    try:
        mask = admit_mask(saved(rgba(alphas, size).convert(mode)), reference)
    except NotAPicture:
        assert not fits
    else:
        assert fits
        assert opened(mask.data).getchannel("A").tobytes() == bytes(alphas)
