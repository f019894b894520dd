"""What the far ends are told to do wrong, and the journal of what they were asked."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import Counter, deque
from typing import Any, Final

from msgspec import Struct, to_builtins

from app.simulator.clock import Clock

_DELAY: Final = re.compile(r"\[delay=(\d+(?:\.\d+)?)\]")
_AFTER: Final = re.compile(r"\[retry-after=(\d+)\]")
_FAULT: Final = re.compile(
    r"\[(429|500|502|503|504|drop|garbage|torn|other-format|badjson|empty|refuse|(?:cut|end|error|refuse)-stream)(?:x(\d+))?\]"
)


class Fault(Struct, frozen=True):
    """What is to go wrong with a call, and the seconds for its `Retry-After`."""

    kind: str
    retry_after: int | None = None

    @property
    def status(self) -> int | None:
        """The HTTP status of an answered fault."""
        return int(self.kind) if self.kind.isdigit() else None


class Call(Struct, kw_only=True):
    """One paid call as the far end saw it. Times in Unix seconds."""

    nonce: str
    wire: str
    model: str
    prompt: str
    client_request_id: str
    fault: str | None
    started: float
    fields: dict[str, Any] = {}
    """What else was asked, by the wire's names: all but the model, the prompt and the pictures."""
    pictures: list[str] = []
    """SHA-256 of each picture that was sent."""
    inputs: list[str] = []
    """SHA-256 of each reference image as it arrived."""
    mask: str | None = None
    """SHA-256 of the mask as it arrived."""


class Bench:
    """The far ends' state: delay, journal, counters."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.clock = Clock()
        self.jitter = 0.0
        self.rate = 0
        """Calls that are served in any one second; the rest are refused with 429. 0: all of them."""
        self.retry_after: int | None = 1
        """What those are told, in seconds."""
        self._served: deque[float] = deque()
        """When the calls of the last second were, by the monotonic clock."""
        self._journal: deque[Call] = deque(maxlen=20_000)
        self._counts: Counter[str] = Counter()
        self._faults: Counter[tuple[str, str]] = Counter()

    def begin(
        self, wire: str, model: str, prompt: str, client_request_id: str, fields: dict[str, Any]
    ) -> tuple[Call, Fault | None]:
        """Write a call down, and say what is to go wrong with it."""
        fault = self._fault(prompt) or self._over_rate()
        call = Call(
            nonce=secrets.token_hex(8),
            wire=wire,
            model=model,
            prompt=prompt,
            client_request_id=client_request_id,
            fault=None if fault is None else fault.kind,
            started=time.time(),
            fields=fields,
        )
        self._journal.append(call)
        self._counts[wire] += 1
        return call, fault

    def seconds(self, prompt: str) -> float:
        """How slow the prompt or the settings ask a call to be."""
        asked = _DELAY.search(prompt)
        return float(asked[1]) if asked else self.delay + self.jitter * secrets.randbelow(1000) / 1000

    async def take_time(self, prompt: str) -> None:
        """Be as slow as that."""
        if seconds := self.seconds(prompt):
            await asyncio.sleep(seconds)

    def calls(self, containing: str = "") -> list[dict[str, Any]]:
        """The journal, oldest first."""
        return [to_builtins(c) for c in self._journal.copy() if containing in c.prompt]

    def state(self) -> dict[str, Any]:
        """Delay and counters."""
        return {"delay": self.delay, "jitter": self.jitter, "calls": dict(self._counts), "total": self._counts.total()}

    def reset(self) -> None:
        """Forget every call."""
        self._journal.clear()
        self._counts.clear()
        self._faults.clear()

    def _over_rate(self) -> Fault | None:
        now = time.monotonic()
        while self._served and self._served[0] <= now - 1:
            self._served.popleft()
        if self.rate and len(self._served) >= self.rate:
            return Fault("429", self.retry_after)
        self._served.append(now)
        return None

    def _fault(self, prompt: str) -> Fault | None:
        for found in _FAULT.finditer(prompt):
            times = int(found[2]) if found[2] else None
            key = (prompt, found[0])
            if times is not None and self._faults[key] >= times:
                continue
            self._faults[key] += 1
            after = _AFTER.search(prompt)
            return Fault(found[1], int(after[1]) if after else None)
        return None
