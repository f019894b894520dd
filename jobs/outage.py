"""A neighbour that is away: how long it is left alone, and when that is said."""

from __future__ import annotations

import time
from typing import Final

import structlog

MIN_PAUSE_SECONDS: Final = 0.5
MAX_PAUSE_SECONDS: Final = 2.0
"""Before a neighbour that is away is asked again."""
MAX_SILENCE_SECONDS: Final = 60.0
"""Of a neighbour that stays away is told this often."""

_log = structlog.get_logger()


class Outage:
    """Tells of one neighbour: at once when it is away, then ever more seldom, and once when it is there again.

    However many parts of a process wait for it, they share this. `quiet_seconds`: it is there again when nothing has
    failed for so long; a Redis that cannot write still answers what is read.
    """

    def __init__(self, neighbour: str, quiet_seconds: float = 0.0) -> None:
        self._neighbour = neighbour
        self._quiet = quiet_seconds
        self._since: float | None = None
        self._failed = 0.0
        self._told = False
        self._silence = 0.0
        self._next = 0.0
        """When it may be told of again: one that comes and goes is not told of more often."""

    def failed(self, error: object) -> None:
        """It did not do what it was asked."""
        now = self._failed = time.monotonic()
        if self._since is None:
            self._since = now
            if now - self._next > MAX_SILENCE_SECONDS:
                self._silence = 0.0
        if now >= self._next:
            _log.warning(f"{self._neighbour} is unavailable", seconds=round(now - self._since), error=str(error))
            self._told = True
            self._silence = min(MAX_SILENCE_SECONDS, max(1.0, self._silence * 2))
            self._next = now + self._silence

    def over(self) -> None:
        """It has done what it was asked."""
        if self._since is None or time.monotonic() - self._failed < self._quiet:
            return
        since, self._since = self._since, None
        if self._told:
            self._told = False
            _log.warning(f"{self._neighbour} is available again", seconds=round(time.monotonic() - since))

    def pause(self, longest: float | None = None) -> float:
        """Seconds to leave it alone: half of what it has been away for, at least half of one, at most `longest`.

        Without a word the longest is `MAX_PAUSE_SECONDS`.
        """
        longest = MAX_PAUSE_SECONDS if longest is None else longest
        away = 0.0 if self._since is None else time.monotonic() - self._since
        return min(longest, max(MIN_PAUSE_SECONDS, away / 2))
