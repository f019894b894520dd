"""What only the gateway's operator can mend of a provider's account, from the first call to the next good one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from jobs.model.times import now_ms
from jobs.store.records import Records

if TYPE_CHECKING:
    from redis.asyncio import Redis

KIND: Final = "trouble"
"""The kind of these records; `include/calls.lua` forgets one with the provider's next good call."""
KEEP_MS: Final = 86_400_000
"""How long it is remembered when the provider is not called any more."""


class Trouble(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A trouble of the provider's account `id`. Times are Unix milliseconds."""

    id: str
    org: str = ""
    """Nobody's: it is the operator's."""
    kind: str
    message: str
    status: int | None = None
    """HTTP's, of the call that met it first."""
    since_ms: int
    last_ms: int


class Troubles:
    """The troubles of all providers. Raises `ServiceUnavailable` while Redis is out of reach."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._records = Records(redis, prefix, KIND, Trouble, lasting=lambda trouble: trouble.last_ms + KEEP_MS)

    async def met(self, account: str, kind: str, message: str, status: int | None) -> Trouble | None:
        """A call has met it; the trouble where that is news, None where it was known."""
        now = now_ms()
        new = Trouble(id=account, kind=kind, message=message, status=status, since_ms=now, last_ms=now)
        news = True

        def again(known: Trouble) -> Trouble:
            nonlocal news
            news = known.kind != kind
            return new if news else replace(known, last_ms=now)

        if await self._records.update("", account, again) is None:
            await self._records.put(new)
        return new if news else None

    async def of(self, account: str) -> Trouble | None:
        """What is known of an account; None: nothing is amiss."""
        return await self._records.find(account)
