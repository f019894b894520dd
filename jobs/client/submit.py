"""Submitting: from a submission to a job that is in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jobs.model.job import Job

if TYPE_CHECKING:
    from jobs.client.estimates import Queued, Typical

CREATE_SECONDS: Final = 5.0
"""How long a submission outlasts a Redis that is away."""
RETRY_SECONDS: Final = 0.25


class Submitted(Struct, frozen=True):
    """The job of an ask. `replayed`: the idempotency key was known, and this is its job.

    `adopted`: an earlier job of the same wish, which nobody waited for any more and whose result nobody had.
    """

    job: Job
    replayed: bool = False
    adopted: bool = False


class Estimate(Struct, frozen=True):
    """A job that was not made, the seconds that a call of it takes, and where it would stand."""

    job: Job
    typical: Typical
    queued: Queued
