"""The clock by which jobs go: that of Redis, whatever the host's own says."""

from __future__ import annotations

import time
from typing import Final

import structlog

TOLERANCE_SECONDS: Final = 1.0
"""A clock that is off by no more is left alone."""

_log = structlog.get_logger()


class Clock:
    """The host's, until Redis has said its time. A host's clock that is set meanwhile changes nothing."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return (time.monotonic_ns() + self._offset_ns) // 1_000_000

    def correct(self, said_ns: int, asked_ns: int) -> None:
        """Redis has said its time (Unix); it was asked at `asked_ns` of `time.monotonic_ns`."""
        earliest, latest = said_ns - time.monotonic_ns(), said_ns - asked_ns
        ahead_ns = max(0, self._offset_ns - latest) - max(0, earliest - self._offset_ns)
        if abs(ahead_ns) > TOLERANCE_SECONDS * 1e9:
            self._offset_ns -= ahead_ns
            seconds = round(ahead_ns / 1e9)  # minus: it is behind
            _log.warning("the clock of this host is off: jobs go by that of Redis", seconds=seconds)


clock: Final = Clock()
"""Of this process."""
