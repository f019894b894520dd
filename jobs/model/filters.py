"""Which jobs of an org a list shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from jobs.model.job import Job


class Filters(Struct, frozen=True, kw_only=True):
    """What a listed job must be; `None`: anything. Times in Unix milliseconds."""

    status: frozenset[str] | None = None
    provider: str | None = None
    model: str | None = None
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    client_reference: str | None = None
    idempotency_key: str | None = None
    batch_id: str | None = None
    metadata: dict[str, str] = {}

    def match(self, job: Job) -> bool:
        """Whether the job passes every filter."""
        wanted = (
            (self.provider, job.request.provider),
            (self.model, job.request.model),
            (self.client_reference, job.client_reference),
            (self.idempotency_key, job.idempotency_key),
            (self.batch_id, job.batch_id),
        )
        return (
            (self.status is None or job.status in self.status)
            and all(want is None or have == want for want, have in wanted)
            and (self.created_after_ms is None or job.created_ms > self.created_after_ms)
            and (self.created_before_ms is None or job.created_ms < self.created_before_ms)
            and self.metadata.items() <= job.metadata.items()
        )


ANY: Final = Filters()
"""Every job."""
