"""What an org's administrators have set of the pictures that its users ask for: values, and secrets that are sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog
from msgspec import Struct

from jobs.encryption import SealBroken, Sealer
from jobs.store.records import Records

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.settings import Settings

SECRETS: Final = "image configuration"
"""Names the key by which the secrets are sealed."""

_log = structlog.get_logger()


class ImageConfig(Struct, frozen=True):
    """What was set, by names that the face gives it. Only in memory: the secrets are in plain words."""

    values: dict[str, Any] = {}
    secrets: dict[str, str] = {}


class ImageConfigs:
    """The configuration of every org. Raises only `errors.DarkroomError`."""

    def __init__(self, redis: Redis, prefix: str, sealer: Sealer) -> None:
        self._records = Records(redis, prefix, "image_config", _Kept)
        self._sealer = sealer

    async def get(self, org: str) -> ImageConfig:
        """What the org has set; nothing where it never did."""
        kept = await self._records.find(org)
        if kept is None:
            return ImageConfig()
        opened = {name: self._opened(org, name, sealed) for name, sealed in kept.sealed.items()}
        return ImageConfig(kept.values, {name: secret for name, secret in opened.items() if secret is not None})

    async def put(self, org: str, config: ImageConfig) -> None:
        """Keep it, all of it."""
        sealed = {name: self._sealer.seal(secret) for name, secret in config.secrets.items() if secret}
        await self._records.put(_Kept(id=org, org=org, values=config.values, sealed=sealed))

    def _opened(self, org: str, name: str, sealed: str) -> str | None:
        try:
            return self._sealer.open(sealed)
        except SealBroken:  # DARKROOM_SECRET_KEY is another one now: it is to be set again
            _log.warning("secret of the image configuration not opened", org=org, name=name)
            return None


def open_image_configs(redis: Redis, settings: Settings) -> ImageConfigs:
    """The configurations, sealed by a key of their own."""
    return ImageConfigs(redis, settings.redis_prefix, Sealer(settings.derived_key(SECRETS)))


class _Kept(Struct, frozen=True):
    id: str
    org: str
    values: dict[str, Any]
    sealed: dict[str, str]
