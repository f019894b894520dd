"""Every field of a hash that we have in Redis, named once: for Python, and for the scripts."""

from __future__ import annotations

from enum import StrEnum


class JobField(StrEnum):
    """Of a job's hash: the record, and what the scripts need to know of it."""

    DOCUMENT = "document"
    EVENT = "event "
    """Begins the fields of what the outside heard of it, one a version: `event 3`."""
    VERSION = "version"
    STATUS = "status"
    SCHEMA = "schema"
    """The number of the record's form."""
    ORG = "org"
    PROVIDER = "provider"
    """Whose lane it waits in."""
    SCORE = "score"
    """Its place in the lane: Unix milliseconds, earlier by priority."""
    EXPECTED_SECONDS = "expected_seconds"
    DEADLINE = "deadline"
    ROOM_NEED = "room_need"
    """`RoomNeed`."""
    FENCE = "fence"
    WORKER = "worker"
    """In whose hands it is."""
    ASTRAY = "astray"
    """1: its worker was taken for dead, and nobody has claimed it since."""
    ACCOUNT = "account"
    """Of its provider's, that at which the claim has its room."""
    ADOPTABLE_UNTIL = "adoptable_until"


class RoomNeed(StrEnum):
    """What a queued job needs of its provider."""

    ROOM = "room"
    ROOM_OR_ELSEWHERE = "room_or_elsewhere"
    """Room, or to be let go."""
    NONE = "none"
    """Its picture is on a disk: whoever has that takes it without a call."""


class LimitField(StrEnum):
    """Of an org's limits, as the API spells them."""

    WEIGHT = "weight"
    MAX_QUEUED = "maxQueued"
    MAX_RUNNING = "maxRunning"
    IMAGES_PER_DAY = "imagesPerDay"
    COST_PER_DAY = "costPerDay"
    """In micro-dollars."""


class UseField(StrEnum):
    """Of what was used on a day."""

    IMAGES = "images"
    COST = "cost"
    """In micro-dollars."""


class BreakerField(StrEnum):
    """Of a circuit breaker: a provider's account's, or a webhook receiver's."""

    FAILURES = "failures"
    """In a row."""
    SHUT_UNTIL = "shut_until"
    PROBE = "probe"
    """One try is under way; of a receiver, which delivery it is."""
    TRIPS = "trips"
    """How often it has shut since the last success."""


class PaceField(StrEnum):
    """Of the pace of a provider's account. Times in Unix milliseconds."""

    OPENS_AT = "opens_at"
    """When the next call may begin."""
    INTERVAL = "interval"
    """Milliseconds from one call's begin to the next; none: as they come."""
    SLOWED_AT = "slowed_at"
    """When a refusal last made it slower."""
    STEP = "step"
    """Calls a second that each call which is served makes it faster; none before the second refusal."""
    WAKES_AT = "wakes_at"
    """The `OPENS_AT` at which a worker has taken it upon itself to ask for a turn."""


class DeliveryField(StrEnum):
    """Of a webhook delivery's hash."""

    DOCUMENT = "document"
    REVISION = "revision"
    QUEUE = "queue"
    LEASE_UNTIL = "lease_until"
