"""Room at a provider's accounts: one for each call that is open there, over all workers, whatever becomes of jobs."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from jobs.errors import ServiceUnavailable
from jobs.model.account import Accounts
from jobs.redis.connection import translate_redis_errors
from jobs.redis.keys import Keys
from jobs.redis.scripts import Scripts
from jobs.store.durations import PROBE_MS

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.store.claims import Claim


class Rooms:
    """The rooms that this process holds: its heartbeat renews them; once it has died they end with its leases.

    `accounts`: those of providers that have several, or a limit; any other has as many rooms as are wanted.
    """

    def __init__(self, redis: Redis, prefix: str, accounts: Accounts) -> None:
        self._redis = redis
        self._keys = Keys(prefix)
        self._scripts = Scripts(redis, prefix, _SCRIPTS)
        self._accounts = dict(accounts)
        self._held: dict[str, dict[str, str]] = {}
        """By the claims' names: each room, and the account that it is at."""

    def hold(self, claim: Claim) -> None:
        """A claim comes with one room, which has the claim's own name, or with none."""
        self._held[claim.name] = {claim.name: claim.account} if claim.room else {}

    def of(self, claim: Claim) -> Mapping[str, str]:
        """Names of the rooms that a claim holds, each with its account."""
        return self._held.get(claim.name, {})

    async def take_more(self, claim: Claim, wanted: int) -> list[str]:
        """Rooms for so many calls more, or for as many as the provider has. With Redis away: for none."""
        names = [f"{claim.name}/{number}" for number in range(2, wanted + 2)]
        told = {**self._told(claim, claim.name), "own": claim.name, "rooms": names}
        taken: list[bytes] = []
        with contextlib.suppress(ServiceUnavailable):
            taken = await self._scripts.run("take_rooms", told)
        rooms = {name: account.decode() for name, account in zip(names, taken, strict=False)}
        self._held[claim.name] |= rooms
        return list(rooms)

    async def move(self, claim: Claim, room: str, tried: Iterable[str]) -> bool:
        """Whether a room of the claim is at another account of its provider now, at none of those that were tried.

        With Redis away it stays where it is.
        """
        told = {**self._told(claim, room), "room": room, "tried": list(tried)}
        with contextlib.suppress(ServiceUnavailable):
            account = await self._scripts.run("move_room", told)
            if account is not None:
                self._held[claim.name][room] = account.decode()
            return account is not None
        return False

    async def take_place(self, claim: Claim, room: str) -> bool:
        """Whether another call may go out in a room of the claim, by its account's pace. With Redis away: it may."""
        with contextlib.suppress(ServiceUnavailable):
            return bool(await self._scripts.run("take_place", {"account": self.of(claim)[room]}))
        return True

    async def give_back(self, claim: Claim, *rooms: str) -> None:
        """Their calls have ended. With Redis away they end with their leases, which nobody renews any more."""
        held = self._held.get(claim.name, {})
        freed: dict[str, list[str]] = defaultdict(list)
        for room in filter(held.__contains__, rooms):
            freed[held.pop(room)].append(room)
        with contextlib.suppress(ServiceUnavailable), translate_redis_errors():
            for account, names in freed.items():
                await self._redis.zrem(self._keys.running_at_provider(account), *names)

    async def leave(self, claim: Claim, *, own_is_free: bool) -> None:
        """Nothing of the claim's is open any more. Its own room may be free already, by the end of its job."""
        held = self._held.get(claim.name, {})
        await self.give_back(claim, *[room for room in held if not (own_is_free and room == claim.name)])
        self._held.pop(claim.name, None)

    def _told(self, claim: Claim, room: str) -> dict[str, object]:
        provider = claim.job.request.provider
        return {
            "id": claim.job.id,
            "fence": claim.fence,
            "provider": provider,
            "account": self.of(claim).get(room, provider),
            "accounts": {provider: told} if (told := self._accounts.get(provider)) else {},
            "probe_ms": PROBE_MS,
        }


_SCRIPTS: Final = ("take_rooms", "move_room", "take_place")
