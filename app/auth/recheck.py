"""Credentials of what stays open, looked at again and again: a key may be revoked, a token expire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog

from app.auth.authenticator import Headers
from jobs.errors import DarkroomError, Forbidden, Unauthorized

if TYPE_CHECKING:
    from app.auth.authenticator import Authenticator
    from jobs.client.notifier import Notifier

RECHECK_SECONDS: Final = 15.0
"""How often every credential is looked at; what it opened ends within this, and the time of one round."""

End = Callable[[], Awaitable[None]]

_log = structlog.get_logger()


class Rechecks:
    """Ends what was opened by a credential that holds no longer. One that opened much is looked at once a round."""

    def __init__(self, authenticator: Authenticator, notifier: Notifier) -> None:
        self._authenticator = authenticator
        self._notifier = notifier
        self._open: dict[Headers, set[End]] = {}
        self._rounds: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin with the rounds."""
        self._rounds = asyncio.create_task(self._go_round())

    async def close(self) -> None:
        """After `Notifier.end_waits`: no round follows."""
        if self._rounds is not None:
            await self._rounds

    @contextmanager
    def watched(self, headers: Headers, end: End) -> Iterator[None]:
        """For as long as it lasts, `end` is called should the credential in these headers hold no longer."""
        ends = self._open.setdefault(headers, set())
        ends.add(end)
        try:
            yield
        finally:
            ends.discard(end)
            if not ends:
                self._open.pop(headers, None)

    async def _go_round(self) -> None:
        while not await self._notifier.closes_within(RECHECK_SECONDS):
            for headers in list(self._open):
                try:
                    await self._look(headers)
                except Exception:  # noqa: BLE001  # the other credentials are due whatever went wrong with this one
                    _log.exception("credential not looked at again")

    async def _look(self, headers: Headers) -> None:
        try:
            await self._authenticator.caller(headers)
        except (Unauthorized, Forbidden):
            for end in list(self._open.get(headers, ())):
                await end()
        except DarkroomError:
            return  # it cannot be known just now
