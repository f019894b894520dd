"""Two hundred small pictures as people's cameras and programs write them, each with what is to be seen of it."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator

from PIL import Image, ImageCms, ImageOps

from tests.unit.jobs.picture_files import chunk, chunks, exif, png, rebuilt, saved, segment, segments
from tests.unit.jobs.profiles import ADOBE_RGB, DISPLAY_P3, GREY, PRESS, SRGB, XYB

SIZE, ODD = (96, 64), (75, 53)


def pictures() -> Iterator[tuple[str, bytes, Image.Image]]:
    """What it is, the file, and its upright reading in sRGB by Pillow, in RGB or RGBA."""
    for name, data in itertools.chain(_cameras(), _odd_jpegs(), _pngs(), _webps()):
        yield name, data, seen(data)
    for name, data, whole in _damaged():
        yield name, data, seen(whole)


def seen(data: bytes) -> Image.Image:
    """The picture as Pillow reads it: upright, and in sRGB."""
    picture = Image.open(io.BytesIO(data))
    profile = picture.info.get("icc_profile")
    upright = ImageOps.exif_transpose(picture)
    if upright.mode == "I;16":
        upright = upright.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if upright.mode in {"P", "1"}:
        upright = upright.convert("RGBA" if upright.has_transparency_data else "L" if upright.mode == "1" else "RGB")
    alpha = upright.getchannel("A") if upright.mode.endswith("A") else None
    plain = upright.convert(upright.mode.removesuffix("A")) if alpha else upright
    if profile:
        source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        plain = ImageCms.profileToProfile(plain, source, srgb, outputMode="RGB")
    plain = plain.convert("RGB")
    if alpha:
        plain.putalpha(alpha)
    return plain


def scene(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Soft colours, as in most of a photo, whose every corner differs."""
    down = Image.linear_gradient("L").resize(size, Image.Resampling.BICUBIC)
    across = Image.linear_gradient("L").rotate(90).resize(size, Image.Resampling.BICUBIC)
    round_ = Image.radial_gradient("L").resize(size, Image.Resampling.BICUBIC)
    colours = Image.merge("RGB", (down, across.point(lambda v: 30 + v // 2), round_.point(lambda v: 200 - v // 2)))
    if mode in {"RGBA", "LA"}:
        colours.putalpha(round_)
    if mode == "I;16":
        return down.convert("I").point(lambda value: value * 257).convert("I;16")
    return colours.convert(mode)


def _with(picture: Image.Image, kind: str, orientation: int, profile: bytes | None, order: str = "<", **more) -> bytes:
    turned = {"exif": exif(orientation, order)} if orientation > 1 else {}
    return saved(picture, kind, icc_profile=profile, **turned, **more)


def _cameras() -> Iterator[tuple[str, bytes]]:
    profiles = {"no profile": None, "Adobe RGB": ADOBE_RGB, "Display P3": DISPLAY_P3}
    for (name, profile), orientation, sampling in itertools.product(profiles.items(), range(1, 9), (0, 1, 2)):
        order = "<>"[orientation % 2]
        data = _with(scene(), "JPEG", orientation, profile, order, quality=95, subsampling=sampling)
        yield f"JPEG of a camera, {name}, orientation {orientation}, sampling {sampling}", data
    for orientation, profile in itertools.product(range(1, 9), (None, GREY)):
        data = _with(scene("L"), "JPEG", orientation, profile, quality=95)
        yield f"JPEG in grey, orientation {orientation}, {'a' if profile else 'no'} profile", data
    for orientation in range(1, 9):
        data = _with(scene(size=ODD), "JPEG", orientation, None, quality=97)
        yield f"JPEG of odd sides, orientation {orientation}", data


def _odd_jpegs() -> Iterator[tuple[str, bytes]]:
    ways = {"progressive": {"progressive": True}, "with restarts": {"restart_marker_blocks": 2}, "of sRGB": {}}
    for (way, options), orientation in itertools.product(ways.items(), (1, 3, 6, 8)):
        profile = SRGB if way == "of sRGB" else None
        yield (
            f"JPEG {way}, orientation {orientation}",
            _with(scene(), "JPEG", orientation, profile, quality=95, **options),
        )
    for orientation, profile in itertools.product((1, 6, 8), (None, PRESS)):
        data = _with(scene("CMYK"), "JPEG", orientation, profile, quality=95)
        yield f"JPEG in CMYK, orientation {orientation}, {'a' if profile else 'no'} profile", data
    for orientation in (1, 6):
        yield (
            f"JPEG in XYB, orientation {orientation}",
            _with(scene(), "JPEG", orientation, XYB, quality=97, keep_rgb=True),
        )


def _pngs() -> Iterator[tuple[str, bytes]]:
    for mode, orientation, coloured in itertools.product(
        ("RGB", "RGBA", "P", "L", "LA", "1", "I;16"), (1, 3, 6, 7), (False, True)
    ):
        profile = None if not coloured else ADOBE_RGB if mode in {"RGB", "RGBA", "P"} else GREY
        data = _with(scene(mode), "PNG", orientation, profile)
        yield f"PNG in {mode}, orientation {orientation}, {'a' if profile else 'no'} profile", data
    for orientation in (1, 6):
        data = _with(scene("P"), "PNG", orientation, None, transparency=0)
        yield f"PNG with a transparent colour, orientation {orientation}", data


def _webps() -> Iterator[tuple[str, bytes]]:
    ways = {"lossy": {"quality": 80}, "lossless": {"lossless": True}, "animated": {}}
    for (way, options), mode, orientation, profile in itertools.product(
        ways.items(), ("RGB", "RGBA"), (1, 6), (None, DISPLAY_P3)
    ):
        more = options
        if way == "animated":
            more = {"save_all": True, "append_images": [Image.new(mode, SIZE, "blue")], "lossless": True}
        data = _with(scene(mode), "WEBP", orientation, profile, **more)
        yield f"WebP in {mode}, {way}, orientation {orientation}, {'a' if profile else 'no'} profile", data


def _damaged() -> Iterator[tuple[str, bytes, bytes]]:
    """With it, the file as it should have been."""
    for orientation in (1, 6):
        whole = _with(scene(), "JPEG", orientation, None, quality=95)
        parts = segments(whole)
        pair = {"save_all": True, "append_images": [scene(size=(32, 32))]}
        mapped = _with(scene(), "MPO", orientation, None, quality=95, **pair)
        gain = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:GainMap/>")
        yield f"JPEG with a gain map behind it, orientation {orientation}", mapped[:2] + gain + mapped[2:], whole
        stray = rebuilt([(m, p + b"\0\x07stray" * (m < 0xDA)) for m, p in parts])
        yield f"JPEG with stray bytes, orientation {orientation}", stray, whole
        yield f"JPEG without its end, orientation {orientation}", whole[:-2], whole
        flat = _with(scene("RGBA"), "PNG", orientation, None)
        found = chunks(flat)
        text = chunk(b"tEXt", b"Software\0Old", 7)
        yield f"PNG with a damaged text, orientation {orientation}", _rebuilt_png(found, text, b""), flat
        yield f"PNG with spare bytes, orientation {orientation}", _rebuilt_png(found, b"", bytes(5)), flat
        frames = {"save_all": True, "append_images": [Image.new("RGB", SIZE, "blue")]}
        still, moving = (_with(scene(), "PNG", orientation, None, **more) for more in ({}, frames))
        yield f"PNG, animated, orientation {orientation}", moving, still


def _rebuilt_png(found: list[tuple[bytes, bytes]], second: bytes, spare: bytes) -> bytes:
    last = max(at for at, (kind, _) in enumerate(found) if kind == b"IDAT")
    whole = [chunk(kind, body + (spare if at == last else b"")) for at, (kind, body) in enumerate(found)]
    return png(whole[0], second, *whole[1:])
