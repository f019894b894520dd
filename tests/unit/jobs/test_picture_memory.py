"""A picture of 48 megapixels takes little memory in the process that decodes it, whatever kind it is."""

import os
import zlib
from pathlib import Path

import pytest
from PIL import Image

from jobs.pictures.apart import Apart
from jobs.pictures.gate import PNG_AND_JPEG
from jobs.pictures.tasks import Check, CheckMask, Convert, Shrink
from tests.neighbours import decoders
from tests.unit.jobs.picture_files import IEND, chunk, exif, header, png, saved
from tests.unit.jobs.profiles import DISPLAY_P3, PRESS

pytestmark = pytest.mark.anyio
SIZE = (8_000, 6_000)
UPRIGHT = SIZE[::-1]
MAX_MEGABYTES = 150
P3 = chunk(b"iCCP", b"P3\0\0" + zlib.compress(DISPLAY_P3))
TURNED = chunk(b"eXIf", exif(6)[6:])


@pytest.fixture
async def apart():
    apart = Apart()
    yield apart
    await apart.close()


def large_jpeg(mode="RGB", **options):
    return saved(Image.new(mode, SIZE, "teal" if mode == "RGB" else 0), "JPEG", **options)


def large_png(colour, channels, *more, depth=8):
    lines = zlib.compress((b"\0" + bytes(range(125)) * (SIZE[0] * channels * depth // 8 // 125)) * SIZE[1], 1)
    head = header(*SIZE, depth=depth, colour=colour)
    return png(head, *more, chunk(b"IDAT", lines), IEND)


def check(data):
    return Check(data, None, PNG_AND_JPEG)


KINDS = {
    "JPEG, turned, its chroma whole": (lambda: check(large_jpeg(subsampling=0, exif=exif(6))), UPRIGHT),
    "JPEG, turned, its chroma halved": (lambda: check(large_jpeg(subsampling=2, exif=exif(6))), UPRIGHT),
    "JPEG without its end": (lambda: check(large_jpeg()[:-2]), SIZE),
    "JPEG in CMYK of a press, turned": (lambda: check(large_jpeg("CMYK", icc_profile=PRESS, exif=exif(8))), UPRIGHT),
    "PNG, turned": (lambda: check(large_png(2, 3, TURNED)), UPRIGHT),
    "PNG with alpha in Display P3, turned": (lambda: check(large_png(6, 4, P3, TURNED)), UPRIGHT),
    "PNG in grey of 16 bits, turned": (lambda: check(large_png(0, 1, TURNED, depth=16)), UPRIGHT),
    "a mask": (lambda: CheckMask(large_png(6, 4), SIZE), SIZE),
    "a PNG made smaller": (lambda: Shrink(large_png(2, 3), 1_000_000), (2_000, 1_500)),
    "a PNG made JPEG": (lambda: Convert(large_png(2, 3), "image/jpeg", 90), SIZE),
}


def peak_megabytes(pid):
    status = Path(f"/proc/{pid}/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) // 1024


@pytest.mark.parametrize("kind", KINDS)
async def test_a_picture_of_48_megapixels_takes_at_most_150_megabytes(kind, apart):
    task, size = KINDS[kind]

    clean = await apart.do(task())
    (process,) = decoders(os.getpid())
    peak = peak_megabytes(process)

    assert (clean.width, clean.height) == size
    assert peak <= MAX_MEGABYTES
