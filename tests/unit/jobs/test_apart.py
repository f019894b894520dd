"""Processes that decode pictures: what one of them comes to is the end of it alone."""

import asyncio
import gc
import os
import signal
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from jobs.pictures.apart import Apart
from jobs.pictures.convert import converted
from jobs.pictures.gate import PNG_AND_JPEG, CleanPicture, validate, validate_mask
from jobs.pictures.sniff import NotAPicture
from jobs.pictures.tasks import Check, CheckMask, Convert
from tests.neighbours import decoders, wait_until
from tests.unit.jobs.picture_files import IEND, PLAIN, chunk, exif, gradient, header, png, saved, segment

pytestmark = pytest.mark.anyio
TURNED = saved(gradient(), "JPEG", exif=exif(6))
HOLE = saved(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))


def check(data):
    return Check(data, None, PNG_AND_JPEG)


def python(tmp_path, monkeypatch, script):
    """From now on this stands in for Python."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


async def test_pictures_come_back_as_they_do_here_by_one_process_that_begins_with_the_first_and_ends_at_the_end():
    apart = Apart()
    before = decoders(os.getpid())

    found = [await apart.do(task) for task in (check(PLAIN), check(TURNED), CheckMask(HOLE, (4, 4)))]
    made = await apart.do(Convert(TURNED, "image/webp", 80))
    during = decoders(os.getpid())
    await apart.close()

    assert before == decoders(os.getpid()) == []
    assert len(during) == 1
    assert found == [validate(PLAIN, None), validate(TURNED, None), validate_mask(HOLE, (4, 4))]
    assert made == CleanPicture(converted(TURNED, "image/webp", 80), "image/webp", *gradient().size[::-1])


async def test_what_is_refused_is_told_why_and_the_process_goes_on():
    apart = Apart()

    with pytest.raises(NotAPicture, match="a chunk's checksum is wrong"):
        await apart.do(check(PLAIN[:-1] + b"\0"))
    with pytest.raises(NotAPicture, match="it is truncated"):
        await apart.do(CheckMask(HOLE[:-4], None))
    with pytest.raises(NotAPicture, match="its JPEG data cannot be read"):
        await apart.do(Convert(TURNED[:-300], "image/webp", 80))
    during = decoders(os.getpid())
    await apart.close()

    assert len(during) == 1


async def test_a_process_that_was_killed_is_replaced():
    apart = Apart()
    await apart.do(check(PLAIN))
    (first,) = decoders(os.getpid())
    os.kill(first, signal.SIGKILL)

    found = await apart.do(check(PLAIN))
    (second,) = decoders(os.getpid())
    await apart.close()

    assert found == validate(PLAIN, None)
    assert second != first


def test_who_gives_up_waiting_leaves_nothing_of_the_process_to_a_loop_that_has_ended(tmp_path, monkeypatch):
    python(tmp_path, monkeypatch, f"touch {tmp_path}/begun; exec sleep 600")
    said = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)

    async def give_up():
        waiting = asyncio.create_task(Apart().do(check(PLAIN)))
        while not (tmp_path / "begun").exists():  # noqa: ASYNC110  # a file tells nobody that it is there
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(give_up())
    gc.collect()

    assert not said


async def test_a_picture_of_which_its_process_dies_is_refused(tmp_path, monkeypatch):
    python(tmp_path, monkeypatch, f"echo >> {tmp_path}/begun; head -c 4 > /dev/null; kill -9 $$")
    apart = Apart()

    with pytest.raises(NotAPicture, match="its decoder ended"):
        await apart.do(check(PLAIN))

    assert (tmp_path / "begun").read_text() == "\n\n"


async def test_a_process_that_hangs_is_killed(tmp_path, monkeypatch):
    python(tmp_path, monkeypatch, f"echo $$ > {tmp_path}/pid; exec sleep 600")
    apart = Apart(seconds=2)

    with pytest.raises(NotAPicture, match="takes too long"):
        await apart.do(check(PLAIN))

    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="its end")


async def test_a_picture_that_takes_more_memory_than_there_may_be_is_refused_and_the_process_goes_on():
    apart = Apart(memory_bytes=200 * 2**20)
    turned = chunk(b"eXIf", exif(6)[6:])
    large = png(header(8_000, 6_000), turned, chunk(b"IDAT", zlib.compress(bytes(24_001 * 6_000), 1)), IEND)

    with pytest.raises(NotAPicture, match=r"cannot be read|too much memory"):
        await apart.do(check(large))
    found = await apart.do(check(PLAIN))
    during = decoders(os.getpid())
    await apart.close()

    assert found == validate(PLAIN, None)
    assert len(during) == 1


async def test_a_photo_whose_list_of_pictures_is_damaged_is_a_photo():
    apart, photo = Apart(), saved(gradient(), "JPEG")
    listed = photo[:2] + segment(0xE2, b"MPF\0II*\0\x08\0\0\0\0\0") + photo[2:]

    found = [await apart.do(Convert(data, "image/webp", 80)) for data in (listed, photo)]
    await apart.close()

    assert found[0] == found[1]
