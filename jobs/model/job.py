"""The nouns: an image request, the job that carries it, and what it yields."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from jobs.errors import Outcome
from jobs.model.choices import Include, OnAmbiguous, Priority
from jobs.model.picture import Image, Preview, Usage
from jobs.model.request import Fallback, ImageRequest, Warning_


class Status(StrEnum):
    """Where a job stands (jobs/README.md, "States and moves")."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        """Whether the job has ended; a terminal status never changes."""
        return self in TERMINAL


TERMINAL: Final = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.EXPIRED})
LIVE: Final = frozenset(Status) - TERMINAL


class Phase(StrEnum):
    """Why a job is where it is."""

    QUEUED = "queued"
    THROTTLED = "throttled"
    BACKOFF = "backoff"
    DISPATCHING = "dispatching"
    GENERATING = "generating"
    CHECKPOINTED = "checkpointed"
    UPLOADING = "uploading"
    RECONCILING = "reconciling"
    DONE = "done"


class Failure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a job ended without a picture, in our own words."""

    code: str
    message: str
    reason: str | None = None
    field: str | None = None
    provider: str | None = None
    provider_status: int | None = None
    provider_request_id: str | None = None
    retryable: bool = False
    safe_to_retry: bool = True
    retry_after: float | None = None


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the ledger: one provider call, written before it leaves and after it ended."""

    call: int
    indexes: tuple[int, ...]
    """Which pictures of the job the call is for."""
    started_ms: int
    provider: str = ""
    model: str = ""
    """Whom it went to."""
    account: str = ""
    """At which of the provider's accounts, where it has several."""
    ended_ms: int | None = None
    outcome: Outcome | None = None
    """`None` while the call is open."""
    provider_status: int | None = None
    provider_request_id: str | None = None
    charged: bool | None = None
    """`None`: not known."""
    handle: str | None = None
    """How the provider can be asked again (ComfyUI `prompt_id`, A1111 task id)."""
    spool: str | None = None
    """Where the call's pictures wait on disk for the blob store (`Spool.name`)."""
    failure: Failure | None = None
    elsewhere: bool = False
    """It cost nothing, and another account of the provider may yet make what it did not."""


class BillingState(StrEnum):
    """Whether the provider has, has not, or may have charged."""

    NONE = "none"
    BILLED = "billed"
    POSSIBLY_BILLED = "possibly_billed"


class CancelOutcome(StrEnum):
    """What a cancel came to."""

    PREVENTED = "prevented"
    """Nothing can have been billed."""
    INTERRUPTED = "interrupted"
    """The provider was stopped."""
    ABANDONED = "abandoned"
    """A call goes on without us; what it brings is salvaged."""
    TOO_LATE = "too_late"


class Cancel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That somebody asked for an early end, and what came of it."""

    requested_ms: int
    by: str
    reason: str | None = None
    outcome: CancelOutcome | None = None
    """`None` while open."""


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a provider says it is; `value` from 0 to 1."""

    value: float
    step: int | None = None
    steps: int | None = None


class Options(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a job is to be run, apart from what picture it makes. Durations in seconds."""

    priority: Priority = Priority.NORMAL
    start_within: int | None = None
    cancel_after: int = 900
    on_ambiguous: OnAmbiguous = OnAmbiguous.FAIL
    max_calls: int = 2
    """With `on_ambiguous` retry: how many calls for one picture may be charged, or possibly so."""
    store_inputs: bool | None = None
    """True keeps staged input pictures as long as the record; False erases the prompt, too, when the job ends."""
    expires_after: int | None = None
    max_queue_position: int | None = None

    @property
    def paid_calls(self) -> int:
        """How many calls for one picture may be charged, or possibly so."""
        return self.max_calls if self.on_ambiguous is OnAmbiguous.RETRY else 1


class Webhook(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the news of one job are posted, as its caller asked."""

    url: str
    events: tuple[str, ...]
    """Types of event, such as `image.job.succeeded`."""
    include: Include = Include.FULL
    secret: str | None = None
    """Sealed (`sealing.py`); None: posts are signed with our own Ed25519 key alone."""
    endpoint_id: str | None = None
    """The endpoint of the org that was named instead of an address (`webhook.py`); the rest is what it was then."""


class Job(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record. Times are Unix milliseconds; moves (`moves.py`) make the next record from this one."""

    id: str
    org: str
    subject: str
    face: str
    request: ImageRequest
    options: Options
    created_ms: int
    updated_ms: int
    start_by_ms: int | None = None
    cancel_at_ms: int
    status: Status = Status.QUEUED
    phase: Phase = Phase.QUEUED
    version: int = 1
    started_ms: int | None = None
    finished_ms: int | None = None
    expires_ms: int | None = None
    not_before_ms: int | None = None
    """A queued job in backoff is not claimed before this."""
    backed_off_ms: int = 0
    """How long the job has backed off in all (`DARKROOM_ABSORB_SECONDS`)."""
    attempts: tuple[Attempt, ...] = ()
    images: tuple[Image, ...] = ()
    """Pictures that are safe in the blob store, in the order of their index."""
    usage: Usage | None = None
    progress: Progress | None = None
    preview: Preview | None = None
    """The latest; none once the job has ended."""
    failure: Failure | None = None
    cancel: Cancel | None = None
    warnings: tuple[Warning_, ...] = ()
    metadata: dict[str, str] = {}
    client_reference: str | None = None
    idempotency_key: str | None = None
    fingerprint: str = ""
    """SHA-256 (hex) of the canonical request and options: equal asks through two faces are equal."""
    batch_id: str | None = None
    key_id: str | None = None
    """The API key by which it was asked for: its daily quotas count the job."""
    fallbacks: tuple[Fallback, ...] = ()
    """Where else it may go, in this order."""
    adoptable: bool = False
    """Asked for by a synchronous call without a key: who asks the same again may get its result."""
    webhook: Webhook | None = None
    unit_price: int = 0
    """Micro-dollars a picture, by the catalog at acceptance; 0: not known."""
    expected_seconds: float = 1.0
    """What the job was expected to take of a worker's time, by the catalog."""
    request_id: str | None = None
    trace_id: str | None = None
    provider_ms: int = 0
    upload_ms: int = 0
    text: str | None = None
    """Words that a provider sent beside the picture, or instead of it."""

    @property
    def billing(self) -> BillingState:
        """What the ledger says of the money: one charged call is enough for `billed`."""
        if any(a.charged for a in self.attempts):
            return BillingState.BILLED
        if any(a.charged is None for a in self.attempts):
            return BillingState.POSSIBLY_BILLED
        return BillingState.NONE

    @property
    def charged(self) -> int:
        """Pictures for which the provider has charged, as far as is known."""
        return len({i for a in self.attempts if a.charged for i in a.indexes})

    @property
    def chargeable(self) -> int:
        """Pictures for which the provider has charged, or may yet: a call of theirs is open."""
        return len({i for a in self.attempts if a.charged or a.ended_ms is None for i in a.indexes})

    @property
    def chargeable_cost(self) -> int:
        """The same in micro-dollars: each call for all of its pictures."""
        return self.unit_price * sum(len(a.indexes) for a in self.attempts if a.charged or a.ended_ms is None)

    @property
    def used_images(self) -> int:
        """What the job takes of its org's daily images: all that were asked for until it ends, then those charged."""
        return self.charged if self.status.terminal else self.request.n

    @property
    def most_cost(self) -> int:
        """What the job may cost at most, in micro-dollars: each picture as often as it may be paid for."""
        return self.request.n * self.options.paid_calls * self.unit_price

    @property
    def cost(self) -> int:
        """Micro-dollars that the provider has charged, as far as is known: each call for all of its pictures."""
        return self.unit_price * sum(len(a.indexes) for a in self.attempts if a.charged)

    @property
    def possible_cost(self) -> int:
        """The same of the calls of which nobody knows it."""
        return self.unit_price * sum(len(a.indexes) for a in self.attempts if a.charged is None)

    @property
    def used_cost(self) -> int:
        """What the job takes of its org's daily cost: the most that it may be until it ends, then what was charged."""
        return self.cost if self.status.terminal else self.most_cost

    @property
    def salvaged(self) -> bool:
        """Whether a picture came after the job had ended without one."""
        return bool(self.images) and self.status in {Status.FAILED, Status.CANCELED}

    @property
    def deadline_ms(self) -> int:
        """When somebody has to act on the job at the latest."""
        if self.status is Status.QUEUED and self.start_by_ms is not None and not self.attempts:
            return min(self.start_by_ms, self.cancel_at_ms)
        return self.cancel_at_ms

    def overdue(self, now: int) -> bool:
        """Whether the job is alive past its deadline."""
        return not self.status.terminal and now >= self.deadline_ms


class Event(Struct, frozen=True, kw_only=True, rename="camel"):
    """One change that the outside hears of: the envelope of event lists, streams and webhooks alike."""

    id: str
    type: str
    timestamp: str
    """RFC 3339 in UTC with milliseconds."""
    sequence: int
    """The job's version after the change."""
    job_id: str
    data: dict[str, Any]
