"""Making a picture another format, here or in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from asyncio.subprocess import PIPE

from jobs.pictures.colours import in_eight_bits, in_srgb
from jobs.pictures.sniff import NotAPicture, opened, pillow, sniff


def converted(data: bytes, media_type: str, quality: int) -> bytes:
    """The same picture as another media type of ours, upright and in sRGB.

    `quality` is that of JPEG and WebP, 0 to 100.
    JPEG has no alpha: what is transparent becomes white. Blocks. Raises `NotAPicture`, also for a picture that the
    other kind cannot hold (WebP: 16,383 pixels a side).
    """
    from PIL import ImageOps

    kind = sniff(data[:12])
    if kind is None:
        raise NotAPicture("neither PNG nor JPEG nor WebP")
    with opened(data, kind) as picture:
        profile = picture.info.get("icc_profile") or b""
        upright = ImageOps.exif_transpose(picture)
        coloured = in_srgb(upright, profile)
        along = profile if coloured is upright and upright.mode in {"RGB", "RGBA", "P"} else b""  # it is sRGB's own
        eight = in_eight_bits(coloured)
        clear = eight.has_transparency_data
        plain = eight.convert("RGBA" if clear else "RGB")
    if clear and media_type == "image/jpeg":
        white = pillow().new("RGBA", plain.size, "white")
        plain = pillow().alpha_composite(white, plain).convert("RGB")
    out = io.BytesIO()
    how = {"compress_level": 3} if media_type == "image/png" else {"quality": max(1, quality)}  # JPEG's 0 is a default
    try:
        plain.save(out, media_type.removeprefix("image/").upper(), icc_profile=along or None, **how)
    except (OSError, ValueError) as error:
        raise NotAPicture(f"it cannot be made {media_type}") from error
    return out.getvalue()


async def converted_apart(data: bytes, media_type: str, quality: int) -> bytes:
    """See `converted`: in a process of its own, for a picture of which this one is not to die. Takes longer."""
    words = ("-m", __spec__.name, media_type, str(quality))
    child = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    try:
        made, said = await child.communicate(data)
    except BaseException:  # nobody waits for it any more
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.communicate()  # its pipes are closed while the loop still runs
        raise
    if child.returncode != 0:
        why = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise NotAPicture(f"its conversion ended with {child.returncode}: {why}")
    return made


if __name__ == "__main__":  # see `converted_apart`
    sys.stdout.buffer.write(converted(sys.stdin.buffer.read(), sys.argv[1], int(sys.argv[2])))
