"""The Lua scripts, each with the names of our keys, the clock, and what it includes before it."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from jobs.redis.keys import lua

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript


def scripts(redis: Redis, names: Iterable[str]) -> dict[str, AsyncScript]:
    """Scripts by name, ready to be called. `ARGV[1]` is the key prefix: all keys share one hash slot by it."""
    return {name: redis.register_script(_text(name)) for name in names}


_INCLUDES: Final = re.compile(r"^-- Includes: (.+)\.$", re.MULTILINE)
"""A line in a script's head that names files of `lua/include/`."""


def _text(name: str) -> str:
    folder = files("jobs.redis") / "lua"
    own = (folder / f"{name}.lua").read_text()
    included = [part for line in _INCLUDES.findall(own) for part in line.split(", ")]
    text = "".join((folder / "include" / f"{part}.lua").read_text() for part in ("clock", *included)) + own
    return lua(text) + text
