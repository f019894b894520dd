"""Where a job stands in the queue."""

from __future__ import annotations

from msgspec import Struct


class Place(Struct, frozen=True, kw_only=True):
    """Where a queued job stands, and what there is to serve it. `most` of what has no limit is None."""

    ahead: int
    """Jobs of its org that are before it, in all of its lanes."""
    orgs: int
    """Orgs whose jobs wait."""
    slots: int
    """What the living workers offer."""
    running: int
    org_running: int
    org_most: int | None
    provider_running: int
    provider_most: int | None
    shut_ms: int
    """How long the provider's breaker stays open."""
    taken: bool = False
    """A worker has the job, or has had it, since it was looked at: it waits no more."""

    @property
    def throttled(self) -> bool:
        """Whether a free worker would pass it over, by `claim_job.lua`: its org, or its provider, is full."""
        counts = ((self.org_running, self.org_most), (self.provider_running, self.provider_most))
        return self.shut_ms > 0 or any(most is not None and running >= most for running, most in counts)
