"""`darkroom config check`: what would keep production from starting, and what weakens a promise."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.blobs.opening import blob_store
from jobs.catalog.families import Catalog
from jobs.client.routing import Router
from jobs.errors import ConfigurationError, DarkroomError
from jobs.providers import PROVIDERS
from jobs.settings import Settings


class Finding(Struct, frozen=True):
    """`level`: `ok`, `warning` or `error`."""

    level: str
    about: str
    text: str


_WANTED: Final = {
    "appendonly": ("yes", "without it a restart of Redis loses accepted jobs"),
    "appendfsync": ("always", "otherwise a crash of Redis can lose the last second of accepted jobs"),
    "maxmemory-policy": ("noeviction", "otherwise Redis drops jobs when memory runs short"),
}


async def findings(settings: Settings) -> list[Finding]:
    """Everything worth saying, in order."""
    return [
        _secrets(settings),
        *await _redis(settings),
        await _storage(settings),
        *_providers(settings),
        _routes(settings),
    ]


def _secrets(settings: Settings) -> Finding:
    try:
        settings.require_production()
    except ConfigurationError as error:
        return Finding("error", "settings", str(error))
    return Finding("ok", "settings", "complete")


async def _redis(settings: Settings) -> list[Finding]:
    if not settings.redis_url:
        return []
    redis = Redis.from_url(settings.redis_url, decode_responses=True, socket_timeout=5)
    try:
        version = (await redis.info("server"))["redis_version"]
        found = [Finding("ok", "redis", f"answers; version {version}")]
        for name, (wanted, why) in _WANTED.items():
            value = (await redis.config_get(name)).get(name)
            text = f"{name} is {value}" if value == wanted else f"{name} is {value}, not {wanted}: {why}"
            found.append(Finding("ok" if value == wanted else "warning", "redis", text))
    except (RedisError, OSError) as error:
        return [Finding("error", "redis", f"REDIS_URL does not answer: {error}")]
    finally:
        await redis.aclose()
    return found


async def _storage(settings: Settings) -> Finding:
    try:
        blobs = blob_store(settings)
        await blobs.open()
        await blobs.ready()
        await blobs.close()
    except (ConfigurationError, DarkroomError, ValueError) as error:
        return Finding("error", "storage", str(error))
    return Finding("ok", "storage", "answers")


def _providers(settings: Settings) -> list[Finding]:
    states = {name: entry.missing(settings) for name, entry in PROVIDERS.items()}
    found = [
        Finding("ok", name, "configured" if gap is None else f"off: {gap} is not set") for name, gap in states.items()
    ]
    if all(states.values()):
        found.append(Finding("warning", "providers", "none is configured: every request will be refused with 503"))
    return found


def _routes(settings: Settings) -> Finding:
    try:
        offered = Router(Catalog.load(settings.models_file), settings).names()
    except ConfigurationError as error:
        return Finding("error", "models", str(error))
    return Finding("ok", "models", f"{len(offered)} names are offered")
