"""What the gateway says of a job, an event and a model, as types. Members that a newer gateway adds are passed over."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

ENDED: Final = frozenset({"succeeded", "failed", "canceled", "expired"})
"""The states that never change."""


class Image(Struct, frozen=True, kw_only=True, rename="camel"):
    """One picture of a result. `url` is signed where the store is private, and then holds for a while."""

    url: str
    mime_type: str | None = None
    index: int = 0
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    revised_prompt: str | None = None


class Error(Struct, frozen=True, kw_only=True, rename="camel"):
    """Why a job has no picture. `details` has `reason`, `field`, `retryable`, `safeToRetry` where they are known."""

    code: str
    message: str
    details: dict[str, Any] = {}


class Progress(Struct, frozen=True, kw_only=True, rename="camel"):
    """How far a running job is: `value` from 0 to 1, and whether the provider said so."""

    value: float | None = None
    source: str | None = None
    step: int | None = None
    steps: int | None = None


class Queue(Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a queued job stands."""

    position: int | None = None
    ahead: int | None = None


class Billing(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the job has cost: `state` is `none`, `billed` or `possibly_billed`; costs are US dollars."""

    state: str
    provider_calls: int = 0
    estimated_cost: float | None = None
    actual_cost: float | None = None


class Job(Struct, frozen=True, kw_only=True, rename="camel"):
    """A job as it stood when it was asked for; `version` grows with every change."""

    id: str
    status: str
    version: int = 0
    phase: str | None = None
    created_at: str | None = None
    finished_at: str | None = None
    request: dict[str, Any] = {}
    queue: Queue | None = None
    progress: Progress | None = None
    result: dict[str, Any] | None = None
    error: Error | None = None
    billing: Billing | None = None
    warnings: tuple[dict[str, Any], ...] = ()
    metadata: dict[str, str] = {}
    client_reference: str | None = None
    timings: dict[str, int] = {}
    urls: dict[str, str] = {}

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, good or bad."""
        return self.status in ENDED

    @property
    def images(self) -> tuple[Image, ...]:
        """Its pictures, in order; a job that failed has one when that was salvaged."""
        result = self.result or {}
        return tuple(
            msgspec.convert(image, Image) for image in result.get("images") or ([result] if "url" in result else [])
        )


class Event(Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing that happened to a job. `data` is the job as it was then; a preview is in it, too."""

    type: str
    data: Job
    job_id: str
    id: str | None = None
    sequence: int | None = None
    timestamp: str | None = None
