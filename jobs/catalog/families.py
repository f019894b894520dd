"""Model families and what each can do: limits are data that the core reads (`models.toml`)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from jobs.errors import ConfigurationError, InvalidInput
from jobs.model.request import ImageRequest

FACE_0: Final = "agents"
"""The face whose documents name fewer sizes of some models than those have."""
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
    qualities: tuple[str, ...] | None = None
    styles: tuple[str, ...] | None = None
    formats: tuple[str, ...] | None = None
    backgrounds: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()
    edit: bool = False
    mask: bool = False
    max_references: int = 0
    max_reference_bytes: int | None = None
    max_references_bytes: int | None = None
    n_per_call: int = 1
    max_prompt: int = 4000
    b64: bool = False
    prices: dict[str, float] = {}
    p50_seconds: float = 20.0
    p90_seconds: float = 40.0

    def reference_bytes(self, sizes: tuple[int, ...]) -> int | None:
        """How large each of reference images of such sizes (bytes) may be; None: as it is."""
        if self.max_references_bytes is None or sum(sizes) <= self.max_references_bytes:
            return self.max_reference_bytes
        share = self.max_references_bytes // len(sizes)
        return share if self.max_reference_bytes is None else min(share, self.max_reference_bytes)


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    family: tuple[Family, ...]


class Catalog:
    """The table, asked by provider and model.

    `others`: further names of models, as of deployments, by provider and name. `prices`: US dollars a picture that
    stand for the table's, by `[provider/]model[:quality]`.
    """

    def __init__(
        self,
        families: tuple[Family, ...],
        *,
        others: Mapping[tuple[str, str], str] = MappingProxyType({}),
        prices: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.families = families
        self._others = others
        self._prices = prices

    def with_first(self, families: Iterable[Family]) -> Catalog:
        """The same with further rows, which come before the others."""
        return Catalog((*families, *self.families), others=self._others, prices=self._prices)

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
        model = self._others.get((provider, model), model)
        rows = (family for family in self.families if provider in family.providers)
        return any(p != ANY and fnmatchcase(model, p) for family in rows for p in family.match)

    def family(self, provider: str, model: str) -> Family:
        """The first row that matches. Raises `InvalidInput` for a provider without any."""
        known = self._others.get((provider, model), model)
        for family in self.families:
            if provider in family.providers and any(fnmatchcase(known, pattern) for pattern in family.match):
                return self._priced(family, provider, (known, model))
        raise InvalidInput(f"unknown provider; known are {', '.join(self.providers)}", field="provider")

    def _priced(self, family: Family, provider: str, names: tuple[str, ...]) -> Family:
        """The row with the prices that were told of the model, the closest last: one for all qualities, or of one."""
        prices = family.prices
        for name in dict.fromkeys((*names, *(f"{provider}/{name}" for name in names))):
            if name in self._prices:
                prices = {"default": self._prices[name]}
            own = {q.removeprefix(f"{name}:"): usd for q, usd in self._prices.items() if q.startswith(f"{name}:")}
            prices = {**prices, **own}
        return family if prices is family.prices else replace(family, prices=prices)


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


def listed(allowed: tuple[str, ...]) -> str:
    """What may be chosen, as words: `png, jpeg or webp`."""
    return " or ".join([", ".join(allowed[:-1]), allowed[-1]]) if len(allowed) > 1 else "".join(allowed) or "none"
