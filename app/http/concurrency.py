"""How many streams, or waits, a process holds open, and how many of them for one caller and for one org."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from jobs.errors import DarkroomError, ServiceUnavailable, TooManyStreams

CALLER_SHARE: Final = 1 / 4
"""A program that opens and never closes leaves the rest to others, also to those of its own org."""
ORG_SHARE: Final = 1 / 2
"""Whatever the callers of one org do together, those of another find room."""
RETRY_SECONDS: Final = 5

Refusal = Callable[[str, int], DarkroomError]
"""The error of a bound by whose it is (`caller`, `org` or `process`), and how many it allows."""


class Concurrency:
    """Counts what is held open of one kind, at most `most` in all. A caller is one subject of an org."""

    def __init__(self, most: int, refusal: Refusal) -> None:
        self._bounds = {
            "caller": max(1, int(most * CALLER_SHARE)),
            "org": max(1, int(most * ORG_SHARE)),
            "process": most,
        }
        self._refusal = refusal
        self._held: Counter[tuple[str, ...]] = Counter()

    def __len__(self) -> int:
        return self._held[()]

    @contextmanager
    def held(self, org: str, subject: str) -> Iterator[None]:
        """One more of this caller, for as long as it lasts. Raises the refusal of a bound that is reached."""
        owners = {"caller": (org, subject), "org": (org,), "process": ()}
        for whose, most in self._bounds.items():
            if self._held[owners[whose]] >= most:
                raise self._refusal(whose, most)
        self._held.update(owners.values())
        try:
            yield
        finally:
            for owner in owners.values():
                self._held[owner] -= 1
                if not self._held[owner]:
                    del self._held[owner]


def too_many_streams(whose: str, most: int) -> TooManyStreams:
    """Event streams and sockets are one kind."""
    text = _TEXTS[whose].format(f"{most} event streams and sockets open")
    return TooManyStreams(text, retry_after=RETRY_SECONDS, limitOf=whose, limit=most)


def too_many_waits(whose: str, most: int) -> ServiceUnavailable:
    """Whoever waits in one request can poll instead."""
    text = f"{_TEXTS[whose].format(f'{most} requests waiting')}: send `Prefer: respond-async` and poll, or come back"
    return ServiceUnavailable(text, reason="waiters_full", retry_after=RETRY_SECONDS, limitOf=whose, limit=most)


_TEXTS: Final = {
    "caller": "you have {} here, as many as one caller may",
    "org": "your org has {} here, as many as one org may",
    "process": "there are {} here, as many as this process serves",
}
