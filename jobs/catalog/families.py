"""Model families and what each can do: limits are data that the core reads (`models.toml`)."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from jobs.errors import ConfigurationError, InvalidInput, InvalidPicture
from jobs.model.job import ImageRequest, Warning_

FACE_0: Final = "agents"
"""The face whose documents name fewer sizes and qualities than the models have."""
FORMATS: Final = ("png", "jpeg", "webp")
"""The kinds of picture that a caller may ask for, whoever makes them so: the provider or, after its answer, we."""
MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""A model's name is a segment of the far end's path."""
ANY: Final = "*"
"""The pattern of a row for the models that no other row names."""


class SizeRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Free sizes within bounds, in pixels."""

    step: int
    min_ratio: float
    max_ratio: float
    max_width: int
    max_height: int
    max_pixels: int

    def allows(self, width: int, height: int) -> bool:
        """Whether a size keeps every bound."""
        return (
            width % self.step == 0
            and height % self.step == 0
            and width <= self.max_width
            and height <= self.max_height
            and width * height <= self.max_pixels
            and self.min_ratio <= width / height <= self.max_ratio
        )

    def __str__(self) -> str:
        return (
            f"any WIDTHxHEIGHT in multiples of {self.step}, at most {self.max_width}x{self.max_height} "
            f"and {self.max_pixels} pixels, from 1:3 to 3:1"
        )


class Family(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the table; see the head of `models.toml`. An absent list: anything is passed on."""

    name: str
    providers: tuple[str, ...]
    match: tuple[str, ...]
    names: tuple[str, ...] = ()
    sizes: tuple[str, ...] | None = None
    face_sizes: tuple[str, ...] | None = None
    size_rule: SizeRule | None = None
    ratios: tuple[str, ...] = ()
    face_ratios: tuple[str, ...] = ()
    qualities: tuple[str, ...] | None = None
    face_qualities: tuple[str, ...] | None = None
    styles: tuple[str, ...] | None = None
    formats: tuple[str, ...] | None = None
    backgrounds: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()
    edit: bool = False
    mask: bool = False
    max_references: int = 0
    n_per_call: int = 1
    max_prompt: int = 4000
    b64: bool = False
    prices: dict[str, float] = {}
    p50_seconds: float = 20.0
    p90_seconds: float = 40.0


class Checked(Struct, frozen=True):
    """A request that its model can serve, as it will be sent, and what was changed or ignored on the way."""

    request: ImageRequest
    family: Family
    warnings: tuple[Warning_, ...]


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    family: tuple[Family, ...]


class Catalog:
    """The table, asked by provider and model."""

    def __init__(self, families: tuple[Family, ...]) -> None:
        self.families = families

    @staticmethod
    @lru_cache(maxsize=4)
    def load(path: Path | None = None) -> Catalog:
        """Read the built-in table, or the file that replaces it. Raises `ConfigurationError`."""
        try:
            text = (files("jobs.catalog") / "models.toml").read_text() if path is None else path.read_text()
            return Catalog(msgspec.convert(tomllib.loads(text), _Table).family)
        except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ConfigurationError(f"DARKROOM_MODELS: {path}: {error}") from None

    @property
    def providers(self) -> tuple[str, ...]:
        """Every provider that the table names, in its order."""
        return tuple(dict.fromkeys(p for family in self.families for p in family.providers))

    def knows(self, provider: str, model: str) -> bool:
        """Whether a row of the provider's names the model, not only the one for whatever else there may be."""
        rows = (family for family in self.families if provider in family.providers)
        return any(p != ANY and fnmatchcase(model, p) for family in rows for p in family.match)

    def family(self, provider: str, model: str) -> Family:
        """The first row that matches. Raises `InvalidInput` for a provider without any."""
        for family in self.families:
            if provider in family.providers and any(fnmatchcase(model, pattern) for pattern in family.match):
                return family
        raise InvalidInput(f"unknown provider; known are {', '.join(self.providers)}", field="provider")

    def check(self, request: ImageRequest, *, face: str) -> Checked:
        """Hold a request against its family. Raises `InvalidInput`, `InvalidPicture`, each naming the field."""
        if not MODEL_NAME.fullmatch(request.model):
            raise InvalidInput("must be 1 to 128 letters, digits, '.', '_' or '-'", field="model")
        family = self.family(request.provider, request.model)
        request, ignored = _without_ignored(request, family)
        _check_words(request, family)
        _check_choices(request, family, face)
        _check_pictures(request, family)
        request, mapped = _with_size(request, family, face)
        return Checked(request, family, (*ignored, *mapped))


def unit_price(request: ImageRequest, family: Family) -> int:
    """Micro-dollars a picture, by the table; 0 where it does not say."""
    usd = family.prices.get(request.quality or "default", family.prices.get("default", 0.0))
    return round(usd * 1_000_000)


def expected_seconds(request: ImageRequest, family: Family) -> float:
    """What a job is expected to take of the workers' time: its calls, one after the other."""
    return family.p50_seconds * -(-request.n // per_call(request, family))


def per_call(request: ImageRequest, family: Family) -> int:
    """How many pictures one call may make: a single one where it streams previews, which bear no picture's number."""
    return 1 if streamed(request, family) else family.n_per_call


def streamed(request: ImageRequest, family: Family) -> bool:
    """Whether the provider is asked for previews on the way to the picture."""
    return bool(request.partial_images) and "partialImages" not in family.ignored


def native(request: ImageRequest, family: Family) -> bool:
    """Whether the provider itself makes the output format that was asked for; if not, it is ours to make."""
    return family.formats is None or request.output_format in family.formats


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


_PIXELS: Final = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_RATIO: Final = re.compile(r"[1-9][0-9]{0,2}:[1-9][0-9]{0,2}")
_ATTRIBUTES: Final = {
    "quality": "quality",
    "style": "style",
    "negativePrompt": "negative_prompt",
    "background": "background",
    "outputFormat": "output_format",
    "outputCompression": "output_compression",
    "seed": "seed",
    "steps": "steps",
    "moderation": "moderation",
    "inputFidelity": "input_fidelity",
    "user": "user",
    "safetyIdentifier": "safety_identifier",
    "partialImages": "partial_images",
}
_NO_WISH: Final = frozenset({"user", "safetyIdentifier"})
"""Dropped without a word where a provider has no such thing: who asks is no wish for the picture."""
_MOST_IDENTIFIER: Final = 512
_MOST_PREVIEWS: Final = 3


def _without_ignored(request: ImageRequest, family: Family) -> tuple[ImageRequest, list[Warning_]]:
    if request.partial_images == 0:
        request = replace(request, partial_images=None)
    message = f"{request.provider} ({request.model}) does not take it"
    reasons = dict.fromkeys(family.ignored, message)
    if not request.images:
        reasons.setdefault("inputFidelity", "there is no reference image to keep to")
    given = [f for f in reasons if getattr(request, _ATTRIBUTES[f]) is not None]
    warnings = [
        Warning_(code="ignored_option", field=f, message=f"{f}: {reasons[f]}") for f in given if f not in _NO_WISH
    ]
    return replace(request, **{_ATTRIBUTES[f]: None for f in given}), warnings


def _check_words(request: ImageRequest, family: Family) -> None:
    if not request.prompt.strip():
        raise InvalidInput("must not be empty", field="prompt")
    if len(request.prompt) > family.max_prompt:
        raise InvalidInput(f"must be at most {family.max_prompt} characters", field="prompt")
    for field in ("user", "safetyIdentifier"):
        if len(getattr(request, _ATTRIBUTES[field]) or "") > _MOST_IDENTIFIER:
            raise InvalidInput(f"must be at most {_MOST_IDENTIFIER} characters", field=field)


def _check_choices(request: ImageRequest, family: Family, face: str) -> None:
    qualities = family.face_qualities if face == FACE_0 and family.face_qualities else family.qualities
    for field, value, allowed in (
        ("quality", request.quality, qualities),
        ("style", request.style, family.styles),
        ("outputFormat", request.output_format, FORMATS),
        ("background", request.background, family.backgrounds),
        ("moderation", request.moderation, ("auto", "low")),
        ("inputFidelity", request.input_fidelity, ("low", "high")),
    ):
        if value is not None and allowed is not None and value not in allowed:
            raise InvalidInput(f"{request.model} takes {_listed(allowed)}", field=field)
    if request.background == "transparent" and request.output_format == "jpeg":
        raise InvalidInput("a transparent background needs png or webp", field="background")
    if request.output_compression is not None and request.output_format not in {"jpeg", "webp"}:
        raise InvalidInput("needs outputFormat jpeg or webp", field="outputCompression")
    if not 0 <= (request.partial_images or 0) <= _MOST_PREVIEWS:
        raise InvalidInput(f"must be 0 to {_MOST_PREVIEWS}", field="partialImages")


def _check_pictures(request: ImageRequest, family: Family) -> None:
    if request.images and not family.edit:
        message = f"{request.model} takes no reference image: use gpt-image-2"
        raise InvalidPicture(message, field="referenceImage")
    if len(request.images) > family.max_references > 0:
        raise InvalidPicture(f"{request.model} takes at most {family.max_references}", field="referenceImages")
    if request.mask is not None and not request.images:
        raise InvalidPicture("a mask needs a referenceImage", field="mask")
    if request.mask is not None and not family.mask:
        raise InvalidPicture(f"{request.provider} takes no mask: use azure-openai", field="mask")


def _with_size(request: ImageRequest, family: Family, face: str) -> tuple[ImageRequest, list[Warning_]]:
    size = request.size
    if size is None:
        return request, []
    if family.ratios:
        return _with_ratio(request, size, family, face)
    at_face = family.face_sizes if face == FACE_0 else None
    sizes = at_face or family.sizes
    measures = pixels(size)
    if sizes is None:
        if measures is None and size != "auto" and not _RATIO.fullmatch(size):
            raise InvalidInput("must be WIDTHxHEIGHT, a ratio such as 16:9, or auto", field="size")
    elif size not in sizes:
        rule = None if at_face else family.size_rule
        if rule is None:
            raise InvalidInput(f"{request.model} takes {_listed(sizes)}", field="size")
        if measures is None or not rule.allows(*measures):
            raise InvalidInput(f"{request.model} takes auto or {rule}", field="size")
    return request, []


def _with_ratio(request: ImageRequest, size: str, family: Family, face: str) -> tuple[ImageRequest, list[Warning_]]:
    ratios = family.face_ratios if face == FACE_0 and family.face_ratios else family.ratios
    if size == "auto":  # its own choice is what it makes without a word
        return replace(request, size=None), []
    if size in ratios:
        return request, []
    measures = pixels(size)
    if measures is None:
        raise InvalidInput(f"{request.model} takes {_listed(ratios)} or WIDTHxHEIGHT", field="size")
    ratio = nearest_ratio(*measures, ratios)
    message = f"size: {size} was mapped to the aspect ratio {ratio}"
    return replace(request, size=ratio), [Warning_(code="adjusted_size", field="size", message=message)]


def _listed(allowed: tuple[str, ...]) -> str:
    return " or ".join([", ".join(allowed[:-1]), allowed[-1]]) if len(allowed) > 1 else "".join(allowed) or "none"
