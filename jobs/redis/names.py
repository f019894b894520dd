"""The names of keys and fields (`keys.py`) as the scripts call them."""

from __future__ import annotations

import inspect
from enum import StrEnum
from typing import Final

from jobs.redis.fields import BreakerField, DeliveryField, JobField, LimitField, PaceField, RoomNeed, UseField
from jobs.redis.keys import ELSEWHERE, Keys


def lua(script: str) -> str:
    """The names that a script speaks of, in Lua: `keys.due`, `keys.job(id)`, `JobField.version`."""
    names = [*_variables(), *_functions()]
    lines = [f"keys.{name} = {value}" for name, value in names if f"keys.{name}" in script]
    tables = [_table(fields) for fields in _FIELDS if fields.__name__ in script]
    return "\n".join(["local keys = {}", *lines, *tables, f"local ELSEWHERE = '{ELSEWHERE}'", ""])


_FIELDS: Final = (JobField, RoomNeed, LimitField, UseField, BreakerField, PaceField, DeliveryField)
_MARK: Final = "\0"
"""Stands around the variable parts of a key while it is turned into Lua."""
_LUA_KEYS: Final = Keys(f"{_MARK}ARGV[1]{_MARK}")


def _variables() -> list[tuple[str, str]]:
    return [(name, _expression(value)) for name, value in vars(_LUA_KEYS).items()]


def _functions() -> list[tuple[str, str]]:
    found = []
    for name, method in inspect.getmembers(Keys, inspect.isfunction):
        if not name.startswith("_"):
            parts = list(inspect.signature(method).parameters)[1:]
            value = _expression(method(_LUA_KEYS, *(f"{_MARK}{part}{_MARK}" for part in parts)))
            found.append((name, f"function({', '.join(parts)}) return {value} end"))
    return found


def _expression(marked: str) -> str:
    """Text between marks is a variable's name, the rest is text."""
    parts = [part if place % 2 else f"'{part}'" for place, part in enumerate(marked.split(_MARK))]
    return " .. ".join(part for part in parts if part != "''")


def _table(fields: type[StrEnum]) -> str:
    return f"local {fields.__name__} = {{{', '.join(f'{f.name.lower()} = {f.value!r}' for f in fields)}}}"
