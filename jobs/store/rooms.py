"""Room at a provider: one for each call that is open there, over all workers, whatever becomes of the calls' jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from jobs.errors import ServiceUnavailable
from jobs.redis.connection import translate_redis_errors
from jobs.redis.keys import Keys
from jobs.redis.scripts import Scripts

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.store.claims import Claim


class Rooms:
    """The rooms that this process holds: its heartbeat renews them; once it has died they end with its leases.

    `limits`: how many a provider has; who is not named has as many as are wanted.
    """

    def __init__(self, redis: Redis, prefix: str, limits: Mapping[str, int]) -> None:
        self._redis = redis
        self._keys = Keys(prefix)
        self._scripts = Scripts(redis, prefix, _SCRIPTS)
        self._limits = dict(limits)
        self._held: dict[str, list[str]] = {}
        """By the claims' names."""

    def hold(self, claim: Claim) -> None:
        """A claim comes with one room, which has the claim's own name, or with none."""
        self._held[claim.name] = [claim.name] if claim.room else []

    def of(self, claim: Claim) -> list[str]:
        """Names of the rooms that a claim holds."""
        return self._held.get(claim.name, [])

    async def take_more(self, claim: Claim, wanted: int) -> list[str]:
        """Rooms for so many calls more, or for as many as the provider has. With Redis away: for none."""
        names = [f"{claim.name}/{number}" for number in range(2, wanted + 2)]
        told = {"provider": _provider(claim), "own": claim.name, "rooms": names, "limits": self._limits}
        taken: list[str] = []
        with contextlib.suppress(ServiceUnavailable):
            taken = names[: await self._scripts.run("take_rooms", told)]
        self._held[claim.name] += taken
        return taken

    async def take_place(self, claim: Claim) -> bool:
        """Whether another call may go out in a room of the claim, by the provider's pace. With Redis away: it may."""
        with contextlib.suppress(ServiceUnavailable):
            return bool(await self._scripts.run("take_place", {"provider": _provider(claim)}))
        return True

    async def give_back(self, claim: Claim, *rooms: str) -> None:
        """Their calls have ended. With Redis away they end with their leases, which nobody renews any more."""
        held = self._held.get(claim.name, [])
        self._held[claim.name] = [room for room in held if room not in rooms]
        if rooms:
            with contextlib.suppress(ServiceUnavailable), translate_redis_errors():
                await self._redis.zrem(self._keys.running_at_provider(_provider(claim)), *rooms)

    async def leave(self, claim: Claim, *, own_is_free: bool) -> None:
        """Nothing of the claim's is open any more. Its own room may be free already, by the end of its job."""
        held = self._held.get(claim.name, [])
        await self.give_back(claim, *(room for room in held if not (own_is_free and room == claim.name)))
        del self._held[claim.name]


_SCRIPTS: Final = ("take_rooms", "take_place")


def _provider(claim: Claim) -> str:
    return claim.job.request.provider
