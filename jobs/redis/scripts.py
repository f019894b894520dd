"""The Lua scripts, each with the names of our keys and what it includes before it."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import msgspec

from jobs.redis.connection import translate_redis_errors
from jobs.redis.names import lua

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis.asyncio import Redis


class Scripts:
    """Some of the scripts, ready to be run below a key prefix: all keys share one hash slot by it."""

    def __init__(self, redis: Redis, prefix: str, names: Iterable[str]) -> None:
        self._prefix = prefix
        self._scripts = {name: redis.register_script(script_text(name)) for name in names}

    async def run(self, name: str, arguments: object, *documents: bytes) -> Any:
        """What the script answers. It reads `arguments` as `args`, by their names; documents are handed on as they are.

        Raises `ServiceUnavailable`.
        """
        with translate_redis_errors():
            return await self._scripts[name](args=[self._prefix, msgspec.json.encode(arguments), *documents])


def script_text(name: str) -> str:
    """The whole script, as Redis is given it."""
    folder = files("jobs.redis") / "lua"
    own = (folder / f"{name}.lua").read_text()
    included = [part for line in _INCLUDES.findall(own) for part in line.split(", ")]
    text = "".join((folder / "include" / f"{part}.lua").read_text() for part in ("start", *included)) + own
    return lua(text) + text


_INCLUDES: Final = re.compile(r"^-- Includes: (.+)\.$", re.MULTILINE)
"""A line in a script's head that names files of `lua/include/`."""
