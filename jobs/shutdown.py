"""How a process ends that is told to, within its grace whatever hangs; and how a task of it does."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import structlog

CLOSING_SECONDS: Final = 5.0
"""After its grace a process has this long to close what it holds; then it is ended."""
CANCEL_SECONDS: Final = 0.5
"""Before a task that goes on is canceled again."""

_log = structlog.get_logger()


class Shutdown:
    """Hears SIGTERM and SIGINT from when it is made, in the main thread, on.

    The kernel gives the first process of a container no default for them: one that does not listen does not end.
    Until `within` is called there is nothing to finish, and a signal ends the process at once.
    """

    def __init__(self) -> None:
        self._grace = 0.0
        self._begin: Callable[[], object] | None = None
        self._begun = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def within(self, seconds: float, begin: Callable[[], object]) -> None:
        """From now on the first signal calls `begin`, in the main thread, and the process has so many seconds."""
        self._grace = seconds
        self._begin = begin

    def _hear(self, number: int, _: FrameType | None) -> None:
        """SIGTERM may come twice, from a terminal and a supervisor; who presses Ctrl-C again will not wait."""
        status = 128 + number  # as a shell tells of a process that a signal has ended
        if self._begin is None or (self._begun and number == signal.SIGINT):
            os._exit(status)
        if not self._begun:
            self._begun = True
            last = threading.Timer(self._grace + CLOSING_SECONDS, os._exit, [status])
            last.daemon = True
            last.start()
            self._begin()


async def cancel(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks and see them gone.

    A task that goes on is canceled again: `asyncio.wait_for`, by which redis-py writes, may lose a cancel before
    Python 3.12 (https://github.com/python/cpython/issues/86296).
    """
    left = {task for task in tasks if task is not None}
    while left:
        for task in left:
            task.cancel()
        gone, left = await asyncio.wait(left, timeout=CANCEL_SECONDS)
        for task in gone:
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("task failed", exc_info=error)
