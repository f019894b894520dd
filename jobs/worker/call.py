"""One paid call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from jobs.errors import DarkroomError, Outcome, ProviderError, ServiceUnavailable, TimedOut
from jobs.model.picture import Usage
from jobs.model.request import Warning_

GRACE_SECONDS: Final = 5.0
"""Beyond its own timeout a provider gets this long to say how its call ended."""


class Answer:
    """What a provider call has brought so far, beside its pictures."""

    def __init__(self) -> None:
        self.pictures = 0
        self.status: int | None = None
        self.request_id: str | None = None
        self.usage: Usage | None = None
        self.text: str | None = None
        self.warnings: list[Warning_] = []
        self.previews: list[asyncio.Task[None]] = []
        """On their way to the blob store."""


CHARGED: Final[Mapping[Outcome, bool | None]] = {
    Outcome.NOT_SENT: False,
    Outcome.THROTTLED: False,
    Outcome.REFUSED: False,
    Outcome.BAD_RESPONSE: True,
    Outcome.UNKNOWN: None,
}


def verdict_on(error: ProviderError) -> str:
    """What a failed call says of the provider's health: a refusal of what was asked is an answer like any other."""
    if error.error.details.get("reason") == "provider_rate_limited":
        return "busy"
    ours = error.outcome is Outcome.BAD_RESPONSE or not isinstance(error.error, ServiceUnavailable | TimedOut)
    return "good" if ours else "bad"


def not_stored(error: DarkroomError) -> ProviderError:
    """A picture that was paid for and that the blob store did not take."""
    error.details["reason"] = "upload_failed"
    return ProviderError(Outcome.BAD_RESPONSE, error)
