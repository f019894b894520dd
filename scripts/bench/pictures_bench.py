"""Pictures of 48 megapixels, of soft colours with noise: CPU seconds and peak memory of the process for each kind."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from jobs.pictures.apart import Apart
from jobs.pictures.heads import TAKEN
from jobs.pictures.tasks import Check, CheckMask, Convert, Shrink, Task
from tests.neighbours import decoders
from tests.unit.jobs.picture_files import exif, saved
from tests.unit.jobs.profiles import DISPLAY_P3, PRESS

SIZE, TILE = (8_000, 6_000), 1_000
MOST_MEGABYTES = 150
SIDEWAYS = exif(6)


def main() -> int:
    """Measure each kind in a process of its own, print, and hold the bound of those that have it."""
    print(f"{'':<44}{'MB in':>8}{'MB out':>8}{'CPU s':>8}{'peak MB':>9}")
    peaks = [asyncio.run(one(name, make(), bounded=bounded)) for name, bounded, make in KINDS]
    return 0 if max(peaks) <= MOST_MEGABYTES else 1


async def one(name: str, task: Task, *, bounded: bool) -> float:
    """The peak of a process that does the task, in megabytes; 0 where no bound is promised."""
    apart = Apart()
    made = await apart.do(task)
    seconds, peak = cost(*decoders(os.getpid()))
    await apart.close()
    print(f"{name:<44}{len(task.data) / 1e6:8.1f}{len(made.data) / 1e6:8.1f}{seconds:8.2f}{peak:9.0f}", end="")
    print(f"   (bound {MOST_MEGABYTES})" if bounded else "")
    return peak if bounded else 0


def cost(pid: int) -> tuple[float, float]:
    """CPU seconds and the peak of memory in megabytes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # proc_pid_stat(5): utime, stime
    status = Path(f"/proc/{pid}/status").read_text().split()
    return seconds, int(status[status.index("VmHWM:") + 1]) / 1024


def scene(mode: str = "RGB") -> Image.Image:
    """Tiles of soft colours with noise: a PNG of 12 MB in RGB."""
    noise = Image.effect_noise((TILE // 2, TILE // 2), 12).resize((TILE, TILE), Image.Resampling.BICUBIC)
    grey = Image.linear_gradient("L").resize((TILE, TILE))
    turns = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180)
    soft = [Image.blend(p.transpose(t) if t else p, grey, 0.6) for p, t in ((noise, t) for t in turns)]
    tile = Image.merge("RGB", soft)
    if mode == "RGBA":
        tile.putalpha(grey)
    whole, tile = Image.new(mode, SIZE), tile.convert(mode)
    for left in range(0, SIZE[0], TILE):
        for top in range(0, SIZE[1], TILE):
            whole.paste(tile, (left, top))
    return whole


def check(mode: str, form: str, **options: object) -> Check:
    """Let it in."""
    quick = {"PNG": {"compress_level": 1}, "WEBP": {"method": 0, "quality": 80}}.get(form, {"quality": 85})
    return Check(saved(scene(mode), form, **quick, **options), None, TAKEN)


KINDS: list[tuple[str, bool, Callable[[], Task]]] = [
    ("JPEG, upright", True, lambda: check("RGB", "JPEG")),
    ("JPEG 4:2:0, turned", True, lambda: check("RGB", "JPEG", subsampling=2, exif=SIDEWAYS)),
    ("JPEG 4:4:4, turned", True, lambda: check("RGB", "JPEG", subsampling=0, exif=SIDEWAYS)),
    ("JPEG 4:4:4 in Display P3", True, lambda: check("RGB", "JPEG", subsampling=0, icc_profile=DISPLAY_P3)),
    ("JPEG without its end", True, lambda: Check(check("RGB", "JPEG").data[:-2], None, TAKEN)),
    ("JPEG in CMYK, turned", True, lambda: check("CMYK", "JPEG", exif=SIDEWAYS)),
    ("JPEG in CMYK of a press", True, lambda: check("CMYK", "JPEG", icc_profile=PRESS)),
    ("PNG in grey, turned", True, lambda: check("L", "PNG", exif=SIDEWAYS)),
    ("PNG, turned", True, lambda: check("RGB", "PNG", exif=SIDEWAYS)),
    ("PNG with alpha in Display P3, turned", True, lambda: check("RGBA", "PNG", icc_profile=DISPLAY_P3, exif=SIDEWAYS)),
    ("a mask", True, lambda: CheckMask(saved(scene("RGBA"), compress_level=1), SIZE)),
    ("PNG made smaller, to 10 MB", True, lambda: Shrink(saved(scene(), compress_level=1), 10_000_000)),
    ("PNG made JPEG", True, lambda: Convert(saved(scene(), compress_level=1), "image/jpeg", 90)),
    ("JPEG 4:2:0, progressive", False, lambda: check("RGB", "JPEG", progressive=True)),
    (
        "JPEG 4:4:4, progressive, turned",
        False,
        lambda: check("RGB", "JPEG", progressive=True, subsampling=0, exif=SIDEWAYS),
    ),
    ("WebP", False, lambda: check("RGB", "WEBP")),
]


if __name__ == "__main__":
    sys.exit(main())
