"""The enabled endpoints of an org as a process remembers them: every event of a job asks for them.

They are looked at again after `FRESH_SECONDS`, and at once by the process that changes one: so long after it was made,
at the latest, a new endpoint hears of every event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jobs.webhooks.endpoint import Endpoint

FRESH_SECONDS: Final = 5.0
MAX_ORGS: Final = 10_000
"""Beyond so many orgs everything is forgotten: those that have jobs are soon known again."""

Look = Callable[[str], Awaitable[Sequence["Endpoint"]]]
"""Reads the enabled endpoints of an org."""


class EnabledCache:
    """Remembers what `look` read. `clock` is in seconds."""

    def __init__(self, look: Look, clock: Callable[[], float]) -> None:
        self._look = look
        self._clock = clock
        self._known: dict[str, tuple[float, Sequence[Endpoint]]] = {}
        self._changes = 0

    async def get(self, org: str) -> Sequence[Endpoint]:
        """The org's enabled endpoints."""
        known = self._known.get(org)
        if known is not None and known[0] > self._clock():
            return known[1]
        changes = self._changes
        enabled = await self._look(org)
        if changes == self._changes:  # else an endpoint changed while they were read
            if len(self._known) >= MAX_ORGS:
                self._known.clear()
            self._known[org] = (self._clock() + FRESH_SECONDS, enabled)
        return enabled

    def forget(self, org: str) -> None:
        """An endpoint of the org has changed."""
        self._changes += 1
        self._known.pop(org, None)
