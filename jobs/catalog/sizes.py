"""Sizes in pixels and ratios, and the nearest that a model has."""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from jobs.catalog.families import FACE_0, Family, listed
from jobs.errors import InvalidInput
from jobs.model.request import ImageRequest, Warning_

_PIXELS: Final = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_RATIO: Final = re.compile(r"[1-9][0-9]{0,2}:[1-9][0-9]{0,2}")


def nearest_ratio(width: int, height: int, ratios: tuple[str, ...]) -> str:
    """The `W:H` of `ratios` whose shape is nearest to `width` x `height`, by the quotient of the two."""

    def distance(ratio: str) -> float:
        wide, high = ratio.split(":")
        quotient = (width * int(high)) / (height * int(wide))
        return max(quotient, 1 / quotient)

    return min(ratios, key=distance)


def pixels(size: str) -> tuple[int, int] | None:
    """Width and height of a `WIDTHxHEIGHT` text, or None."""
    found = _PIXELS.fullmatch(size)
    return (int(found[1]), int(found[2])) if found else None


def with_size(request: ImageRequest, family: Family, face: str) -> tuple[ImageRequest, list[Warning_]]:
    """The request in a size that its model has, and what was changed for it. Raises `InvalidInput`."""
    size = request.size
    if size is None:
        return request, []
    if family.ratios:
        return _with_ratio(request, size, family)
    at_face = family.face_sizes if face == FACE_0 else None
    sizes = at_face or family.sizes
    measures = pixels(size)
    if sizes is None:
        if measures is None and size != "auto" and not _RATIO.fullmatch(size):
            raise InvalidInput("must be WIDTHxHEIGHT, a ratio such as 16:9, or auto", field="size")
    elif size not in sizes:
        rule = None if at_face else family.size_rule
        if rule is None:
            raise InvalidInput(f"{request.model} takes {listed(sizes)}", field="size")
        if measures is None or not rule.allows(*measures):
            raise InvalidInput(f"{request.model} takes auto or {rule}", field="size")
    return request, []


def _with_ratio(request: ImageRequest, size: str, family: Family) -> tuple[ImageRequest, list[Warning_]]:
    ratios = family.ratios
    if size == "auto":  # its own choice is what it makes without a word
        return replace(request, size=None), []
    if size in ratios:
        return request, []
    measures = pixels(size)
    if measures is None:
        raise InvalidInput(f"{request.model} takes {listed(ratios)} or WIDTHxHEIGHT", field="size")
    ratio = nearest_ratio(*measures, ratios)
    message = f"size: {size} was mapped to the aspect ratio {ratio}"
    return replace(request, size=ratio), [Warning_(code="adjusted_size", field="size", message=message)]
