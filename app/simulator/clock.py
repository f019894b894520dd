"""The clock by which the far ends take their time; a test may put one of its own in its place."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """Seconds of a monotonic clock."""

    def now(self) -> float:
        """The moment."""
        return time.monotonic()

    async def until(self, moment: float) -> None:
        """Wait for it."""
        await asyncio.sleep(max(0.0, moment - self.now()))

    def idle(self) -> None:
        """Nothing is waited for any more."""
