"""Cancelling and erasing jobs."""

from __future__ import annotations

from typing import Final

CANCEL_SECONDS: Final = 2.0
"""How long the worker that has a job may take to end it."""
LATE_MS: Final = 90_000_000
"""Beyond it no call is open, and nothing that it brought waits on a disk: both end within a day."""
