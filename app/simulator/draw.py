"""Draws a picture from a prompt: a landscape seeded by the call, its words, and a plain mark that no model made it."""

from __future__ import annotations

import colorsys
import hashlib
import io
import math
import random
import textwrap

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin, UnidentifiedImageError


def draw(prompt: str, nonce: str, width: int, height: int, form: str = "png") -> bytes:
    """The bytes of a `width` x `height` picture; `nonce` (hex) seeds it and is written into its bytes."""
    chance = random.Random(int(nonce, 16))  # noqa: S311  # a picture, not a secret
    hue = int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16) / 2**32
    picture = _sky(width, height, hue)
    canvas = ImageDraw.Draw(picture)
    _sun(canvas, width, height, hue, chance)
    for layer in range(4):
        _hills(canvas, width, height, hue, layer, chance)
    _caption(canvas, prompt, width, height)
    return _encoded(picture, nonce, form)


def edit(original: Image.Image, mask: Image.Image | None, prompt: str, nonce: str, form: str = "png") -> bytes:
    """The original with a new picture where the mask is transparent (everywhere without a mask: blended)."""
    width, height = original.size
    fresh = Image.open(io.BytesIO(draw(prompt, nonce, width, height))).convert("RGBA")
    base = original.convert("RGBA")
    if mask is None:
        return _encoded(Image.blend(base, fresh, 0.5).convert("RGB"), nonce, form)
    kept = mask.convert("RGBA").getchannel("A").point(lambda alpha: 0 if alpha == 0 else 255)
    return _encoded(Image.composite(base, fresh, kept), nonce, form)


def blurred(data: bytes, place: int, form: str) -> bytes:
    """The picture as it looks on the way: the coarser, the earlier its `place` (from 0); bytes that are none stay."""
    try:
        picture = Image.open(io.BytesIO(data)).convert("RGB")
    except UnidentifiedImageError:
        return data
    coarse = picture.resize((max(1, picture.width * (place + 1) // 32), max(1, picture.height * (place + 1) // 32)))
    return _encoded(coarse.resize(picture.size), f"{place:016x}", form)


def _sky(width: int, height: int, hue: float) -> Image.Image:
    top, low = _colour(hue, 0.55, 0.35), _colour((hue + 0.08) % 1, 0.35, 0.95)
    column = Image.new("RGB", (1, height))
    for y in range(height):
        share = y / max(1, height - 1)
        column.putpixel((0, y), tuple(round(a + (b - a) * share) for a, b in zip(top, low, strict=True)))
    return column.resize((width, height))


def _sun(canvas: ImageDraw.ImageDraw, width: int, height: int, hue: float, chance: random.Random) -> None:
    radius = min(width, height) * 0.09
    x, y = width * chance.uniform(0.2, 0.8), height * chance.uniform(0.18, 0.4)
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour((hue + 0.12) % 1, 0.25, 1.0))


def _hills(  # noqa: PLR0913, PLR0917  # a brush, and where it goes
    canvas: ImageDraw.ImageDraw, width: int, height: int, hue: float, layer: int, chance: random.Random
) -> None:
    base = height * (0.5 + 0.1 * layer)
    waves = [(chance.uniform(1, 4), chance.uniform(0, math.tau), chance.uniform(0.01, 0.05)) for _ in range(3)]
    step = max(1, width // 200)
    edge = [
        (x, base - height * sum(a * math.sin(f * math.tau * x / width + p) for f, p, a in waves))
        for x in range(0, width + step, step)
    ]
    canvas.polygon(
        [(0, height), *edge, (width, height)], fill=_colour((hue + 0.03 * layer) % 1, 0.5, 0.6 - 0.12 * layer)
    )


def _caption(canvas: ImageDraw.ImageDraw, prompt: str, width: int, height: int) -> None:
    size = max(10, min(width, height) // 32)
    font = ImageFont.load_default(size)
    lines = textwrap.wrap(prompt, max(8, int(width / (size * 0.55)) - 2))[:3]
    band = (len(lines) + 1) * size * 1.35 + size
    canvas.rectangle((0, height - band, width, height), fill=(16, 18, 24))
    for row, line in enumerate(["SIMULATED - no model made this picture", *lines]):
        colour = (255, 196, 84) if row == 0 else (235, 238, 245)
        canvas.text((size, height - band + size * (0.5 + 1.35 * row)), line, font=font, fill=colour)


def _encoded(picture: Image.Image, nonce: str, form: str) -> bytes:
    out = io.BytesIO()
    if form == "png":
        notes = PngImagePlugin.PngInfo()
        notes.add_text("darkroom-nonce", nonce)
        picture.save(out, "PNG", pnginfo=notes, compress_level=1)
    else:
        picture.convert("RGB").save(out, form.upper(), quality=88, **({"comment": nonce} if form == "jpeg" else {}))
    return out.getvalue()


def _colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = (round(255 * c) for c in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue
