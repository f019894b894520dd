"""What a command says beside its answer: one line on stderr."""

from __future__ import annotations

import sys
from typing import NoReturn


def say(text: str) -> None:
    """One line on stderr."""
    print(f"darkroom: {text}", file=sys.stderr, flush=True)  # noqa: T201  # the command's own voice


def fail(text: str, status: int = 1) -> NoReturn:
    """One line on stderr, and the end of the command with this status."""
    say(text)
    sys.exit(status)
