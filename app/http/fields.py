"""The fields that a body may have: null for those that may be left out, and the one that a misspelling meant."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from functools import cache
from typing import Any, Final, get_args

from msgspec import UNSET, Struct
from msgspec.structs import fields

_ALIKE: Final = 0.7
"""Of two names, by difflib: `qualty` and `quality` are, `seed` and `speed`, too; `size` and `style` are not."""
_LONGEST: Final = 64
_STEP: Final = re.compile(r"[^.\[\]]+")


class Field(Struct, frozen=True):
    """One field of a kind: whether null says that it was left out, and the kind of its value or of its items."""

    null_is_nothing: bool
    kind: type[Struct] | None


def without_nulls(value: Any, kind: type[Struct]) -> Any:
    """The value without what is null, at every place where `kind` has a field that may be left out.

    A null that says something (in a change: take it away) stays, and so does one for a field that is required.
    """
    if isinstance(value, list):
        return [without_nulls(item, kind) for item in value]
    if not isinstance(value, dict):
        return value
    known = known_fields(kind)
    kept: dict[str, Any] = {}
    for name, inner in value.items():
        field = known.get(name)
        if field is None or field.kind is None or inner is None:
            kept[name] = inner
        else:
            kept[name] = without_nulls(inner, field.kind)
    return {n: v for n, v in kept.items() if v is not None or n not in known or not known[n].null_is_nothing}


@cache
def known_fields(kind: type[Struct]) -> dict[str, Field]:
    """The fields of a kind by the names that callers use."""
    return {f.encode_name: Field(not f.required and f.default is not UNSET, _struct_in(f.type)) for f in fields(kind)}


def kind_at(kind: type[Struct], path: str) -> type[Struct] | None:
    """The kind at a path such as `items[3].mask`; None: nothing is known of what stands there."""
    found: type[Struct] | None = kind
    for step in _STEP.findall(path):
        if found is not None and step != "..." and not step.isdigit():
            field = known_fields(found).get(step)
            found = None if field is None else field.kind
    return found


def meant(name: str, known: Collection[str]) -> str:
    """`: did you mean …?` where one of the known names is much like this one, else nothing."""
    by_form = {_form(own): own for own in known}
    found = get_close_matches(_form(name[:_LONGEST]), by_form, 1, _ALIKE)
    return f": did you mean `{by_form[found[0]]}`?" if found else ""


def _form(name: str) -> str:
    """Names that differ in case and hyphens alone are one: `negative_prompt` is `negativePrompt`."""
    return name.lower().replace("_", "").replace("-", "")


def _struct_in(annotation: Any) -> type[Struct] | None:
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return annotation
    return next((found for part in get_args(annotation) if (found := _struct_in(part)) is not None), None)
