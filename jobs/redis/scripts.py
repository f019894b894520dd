"""The Lua scripts, each with `include/lanes.lua` before it."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript


def scripts(redis: Redis, names: Iterable[str]) -> dict[str, AsyncScript]:
    """Scripts by name, ready to be called."""
    folder = files("jobs.redis") / "lua"
    shared = (folder / "include" / "lanes.lua").read_text()
    return {name: redis.register_script(shared + (folder / f"{name}.lua").read_text()) for name in names}
