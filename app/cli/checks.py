"""`darkroom config check`: what would keep production from starting, and what weakens a promise."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from jobs.authorities import trust
from jobs.blobs.opening import blob_store
from jobs.client.routing import Router
from jobs.clock import TOLERANCE_SECONDS
from jobs.errors import ConfigurationError, DarkroomError
from jobs.providers import PROVIDERS, missing
from jobs.providers.accounts import Configured, configured
from jobs.providers.offers import offered
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
    """Everything worth saying, in order. Raises `ConfigurationError`."""
    trust(settings.ca_file, settings.data_dir)
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
        info = await redis.info()
        version = Finding("ok", "redis", f"answers; version {info['redis_version']}")
        replication = _replication(info, settings.intent_replicas)
        return [version, *await _durability(redis), replication, _clock(await redis.time())]
    except (RedisError, OSError) as error:
        return [Finding("error", "redis", f"REDIS_URL does not answer: {error}")]
    finally:
        await redis.aclose()


async def _durability(redis: Redis) -> list[Finding]:
    try:
        values = {name: (await redis.config_get(name)).get(name) for name in _WANTED}
    except ResponseError as error:
        text = (
            f"could not look at {', '.join(_WANTED)}: CONFIG is not to be had here ({error}); see to it that they are"
        )
        wanted = ", ".join(value for value, _ in _WANTED.values())
        return [Finding("warning", "redis", f"{text} {wanted}")]
    return [_kept(name, value) for name, value in values.items()]


def _kept(name: str, value: str | None) -> Finding:
    wanted, why = _WANTED[name]
    if value == wanted:
        return Finding("ok", "redis", f"{name} is {value}")
    return Finding("warning", "redis", f"{name} is {value}, not {wanted}: {why}")


def _clock(said: tuple[int, int]) -> Finding:
    """Whether this host's clock is that of Redis; `said` are seconds and microseconds."""
    ahead = time.time() - said[0] - said[1] / 1e6
    if abs(ahead) <= TOLERANCE_SECONDS:
        return Finding("ok", "clock", "is that of Redis")
    way = "ahead of" if ahead > 0 else "behind"
    why = "jobs go by Redis', but tokens and signed links are judged by the host's"
    return Finding("warning", "clock", f"of this host is {abs(ahead):.0f} s {way} that of Redis: {why}")


def _replication(info: Mapping[str, Any], wanted: int) -> Finding:
    """What a failover can lose: replicas hear of everything a little later."""
    if info["role"] != "master":
        return Finding(
            "error", "redis", "REDIS_URL is a replica, which takes no writes and may be behind: name its primary"
        )
    replicas = info["connected_slaves"]
    if wanted > replicas:
        text = f"DARKROOM_INTENT_REPLICAS is {wanted}, and {replicas} are connected: no paid call is made"
        return Finding("error", "redis", text)
    if wanted:
        text = (
            f"no paid call is made before {wanted} of its {replicas} replicas know of it; a failover can lose the jobs"
        )
        return Finding("ok", "redis", f"{text} that were accepted last")
    if replicas:
        text = "has replicas, which hear of everything a little later: a failover can lose the jobs that were accepted"
        more = (
            "last, and that a call was made, which is then bought again, unless DARKROOM_INTENT_REPLICAS is 1 or more"
        )
        return Finding("warning", "redis", f"{text} {more}")
    return Finding("ok", "redis", "has no replicas")


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
    try:
        accounts = configured(settings)
    except ConfigurationError as error:
        return [Finding("error", "providers", str(error))]
    states = {name: missing(name, settings) for name in PROVIDERS}
    found = [
        Finding("ok", name, _told(accounts[name]) if gap is None else f"off: {gap} is not set")
        for name, gap in states.items()
    ]
    if all(states.values()):
        found.append(Finding("warning", "providers", "none is configured: every request will be refused with 503"))
    return found


def _told(accounts: Sequence[Configured]) -> str:
    names = [each.account.name.partition("/")[2] for each in accounts]
    return f"configured, with the accounts {', '.join(names)}" if names[0] else "configured"


def _routes(settings: Settings) -> Finding:
    try:
        names = Router(offered(settings), settings).names()
    except ConfigurationError as error:
        return Finding("error", "models", str(error))
    return Finding("ok", "models", f"{len(names)} names are offered")
