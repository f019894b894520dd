"""Where API keys are kept and how they change. The secret itself is shown once and kept nowhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from jobs.access import tokens
from jobs.access.api_key import ApiKey, KeySpec, Rotated, check
from jobs.errors import Gone, InvalidInput, NotFound
from jobs.ids import new_id
from jobs.model.times import now_ms
from jobs.redis.connection import translate_redis_errors
from jobs.redis.keys import Keys as RedisKeys
from jobs.store.records import Records

if TYPE_CHECKING:
    from redis.asyncio import Redis

MAX_OVERLAP_SECONDS: Final = 7 * 86_400
"""Seconds that a rotated secret may stay valid."""
USED_EVERY_MS: Final = 60_000
"""`lastUsedAt` is written no more often than this."""
USED_KEPT_MS: Final = 400 * 86_400_000
"""How long the last use of a key is known."""


class KeyWithSecret(Struct, frozen=True):
    """A key with its secret, which nobody can ask for again."""

    key: ApiKey
    secret: str


class Keys:
    """The keys of every org. `providers` are those that a key can be held to."""

    def __init__(self, redis: Redis, prefix: str, providers: Collection[str]) -> None:
        self._redis = redis
        self._keys = RedisKeys(prefix)
        self._records = Records(redis, prefix, "api_key", ApiKey, _hashes)
        self._providers = providers

    async def create(self, org: str, spec: KeySpec, *, by: str) -> KeyWithSecret:
        """Make a key. Raises `InvalidInput` naming the field as the API spells it."""
        now = now_ms()
        check(spec, self._providers, now)
        secret, key_id = tokens.new_token(), new_id("key")
        key = ApiKey(
            id=key_id,
            org=org,
            subject=spec.subject or key_id,
            name=spec.name,
            hash=tokens.digest(secret),
            hint=secret[-4:],
            grant=spec.grant,
            limits=spec.limits,
            created_ms=now,
            created_by=by,
            expires_ms=spec.expires_ms,
            metadata=spec.metadata,
        )
        await self._records.put(key)
        return KeyWithSecret(key, secret)

    async def known(self, secret: str) -> ApiKey | None:
        """The active key that the secret opens. A misspelt one costs no look-up; nothing is remembered here."""
        if not tokens.well_formed(secret):
            return None
        hashed = tokens.digest(secret)
        key_id = await self._records.named(hashed)
        key = None if key_id is None else await self._records.find(key_id)
        now = now_ms()
        if key is None or not key.opened_by(hashed, now):
            return None
        await self._note_use(key, now)
        return key

    async def get(self, org: str, key_id: str) -> ApiKey:
        """One key of the org. Raises `NotFound`."""
        return _found(await self._records.get(org, key_id))

    async def find(self, key_id: str) -> ApiKey:
        """One key, whosever it is: for the operators. Raises `NotFound`."""
        return _found(await self._records.find(key_id))

    async def page(self, org: str, after: str | None, limit: int) -> tuple[list[ApiKey], str | None]:
        """The org's keys, newest first, and the id to go on from (None at the end)."""
        return await self._records.page(org, after, limit)

    async def revoke(self, org: str, key_id: str) -> ApiKey:
        """End a key at once and for good; its record stays. Raises `NotFound`."""
        now = now_ms()
        change = {"revoked_ms": now, "rotated": None}
        return _found(
            await self._records.update(org, key_id, lambda k: k if k.revoked_ms is not None else replace(k, **change))
        )

    async def rotate(self, org: str, key_id: str, overlap_seconds: int = 0) -> KeyWithSecret:
        """Give a key a new secret; the one before stays valid for the overlap. Raises `Gone`, `NotFound`."""
        if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
            raise InvalidInput(f"must be 0 to {MAX_OVERLAP_SECONDS}", field="overlapSeconds")
        secret, now = tokens.new_token(), now_ms()

        def change(key: ApiKey) -> ApiKey:
            if key.status(now) != "active":
                raise Gone(f"the key is {key.status(now)}: make another", keyId=key.id)
            before = Rotated(key.hash, now + overlap_seconds * 1000) if overlap_seconds else None
            new = {"hash": tokens.digest(secret), "hint": secret[-4:], "rotated_ms": now, "rotated": before}
            return replace(key, **new)

        return KeyWithSecret(_found(await self._records.update(org, key_id, change)), secret)

    async def last_used(self, keys: Sequence[ApiKey]) -> list[int | None]:
        """When each was used last (Unix ms, exact to `USED_EVERY_MS`), in their order."""
        if not keys:
            return []
        with translate_redis_errors():
            found = await self._redis.mget([self._keys.api_key_used(key.id) for key in keys])
        return [None if ms is None else int(ms) for ms in found]

    async def _note_use(self, key: ApiKey, now: int) -> None:
        (used,) = await self.last_used([key])
        if used is None or used + USED_EVERY_MS <= now:
            with translate_redis_errors():
                await self._redis.set(self._keys.api_key_used(key.id), now, px=USED_KEPT_MS)


def _hashes(key: ApiKey) -> dict[str, int | None]:
    names: dict[str, int | None] = {key.hash: None}
    if key.rotated is not None:
        names[key.rotated.hash] = key.rotated.until_ms
    return names


def _found(key: ApiKey | None) -> ApiKey:
    if key is None:
        raise NotFound("no such key")
    return key
