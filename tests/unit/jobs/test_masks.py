"""Masks: PNG, the reference's size, something fully transparent; they go on as 8-bit RGBA."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jobs.pictures.gate import validate_mask
from jobs.pictures.sniff import MAX_BYTES, NotAPicture
from tests.unit.jobs.picture_files import IEND, chunk, gradient, header, png, rows, samples, saved

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
    "one bit with a transparent colour": png(
        header(colour=0, depth=1), chunk(b"tRNS", b"\0\0"), chunk(b"IDAT", rows(4, 1)), IEND
    ),
    "palette of two bits with half and whole transparency": png(
        header(colour=3, depth=2), PALETTE, chunk(b"tRNS", b"\x80\0"), samples([(0,), (1,)] * 8, 4, 2), IEND
    ),
    "an animation's first picture": saved(rgba(), save_all=True, append_images=[rgba((255,) * 16)]),
    "RGBA with a hole": saved(rgba((255,) * 15 + (0,))),
    "RGBA with text and a tail": saved(rgba(), optimize=True) + b"tail",
}


@pytest.mark.parametrize("what", MASKS)
def test_every_way_to_write_transparency_is_a_mask_and_goes_on_as_rgba(what):
    mask = validate_mask(MASKS[what], SIZE)

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
        (saved(gradient("P", SIZE), "GIF", transparency=0), "must be a PNG"),
        (b"", "must be a PNG"),
        (MASKS["RGBA"] + bytes(MAX_BYTES), "larger than"),
        (png(header(8_000, 8_000, colour=6), chunk(b"IDAT", rows()), IEND), "more than 50000000 pixels"),
        (saved(rgba(size=(8, 2))), "it is 8x2, the reference image 4x4"),
        (MASKS["RGBA"][:-5], "truncated"),
    ],
)
def test_what_cannot_be_a_mask_is_told_why(data, words):
    with pytest.raises(NotAPicture, match=words):
        validate_mask(data, SIZE)


def test_without_a_known_reference_any_size_will_do():
    assert validate_mask(saved(rgba(size=(2, 8))), None).width == 2


@pytest.mark.parametrize(
    ("colour", "depth", "key"),
    [(0, 2, (1,)), (0, 4, (4,)), (0, 16, (4905,)), (0, 16, (5,)), (2, 16, (5, 5, 5))],
)
def test_a_colour_key_that_pillow_does_not_read_exactly_is_no_mask(colour, depth, key):
    pixels = [key, tuple(value ^ 1 for value in key)] * 8
    keyed = png(
        header(colour=colour, depth=depth),
        chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)),
        samples(pixels, 4, depth),
        IEND,
    )

    with pytest.raises(NotAPicture, match="must have an alpha channel"):
        validate_mask(keyed, SIZE)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([(0, 1), (0, 8), (2, 8), (3, 1), (3, 2), (3, 4), (3, 8)]),
    st.integers(1, 6),
    st.data(),
)
def test_a_transparent_colour_makes_exactly_its_own_pixels_transparent(kind, side, data):
    colour, depth = kind
    one = st.integers(0, 2**depth - 1)
    pool = data.draw(st.lists(st.tuples(*[one] * (3 if colour == 2 else 1)), min_size=1, max_size=3))
    pixels = data.draw(st.lists(st.sampled_from(pool), min_size=side * side, max_size=side * side))
    key = pool[0]
    palette = [chunk(b"PLTE", bytes(range(3)) * 2**depth)] if colour == 3 else []
    transparency = b"\xff" * key[0] + b"\0" if colour == 3 else struct.pack(f">{len(key)}H", *key)
    keyed = png(
        header(side, side, depth, colour), *palette, chunk(b"tRNS", transparency), samples(pixels, side, depth), IEND
    )

    try:
        mask = validate_mask(keyed, (side, side))
    except NotAPicture:
        assert key not in pixels
    else:
        assert opened(mask.data).getchannel("A").tobytes() == bytes(0 if p == key else 255 for p in pixels)


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
        mask = validate_mask(saved(rgba(alphas, size).convert(mode)), reference)
    except NotAPicture:
        assert not fits
    else:
        assert fits
        assert opened(mask.data).getchannel("A").tobytes() == bytes(alphas)
