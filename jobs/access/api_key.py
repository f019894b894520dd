"""One API key: what it may do, whether it holds, and how people read it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from msgspec import Struct

from jobs.access import tokens
from jobs.access.rates import Window
from jobs.catalog.families import MODEL_NAME
from jobs.errors import InvalidInput
from jobs.model.metadata import checked_metadata
from jobs.model.times import moment, now_ms

CAPABILITIES: Final[Mapping[str, frozenset[str]]] = {
    "images": frozenset({"write:image-gen", "read:image-gen"}),
    "usage:read": frozenset({"read:image-gen"}),
    "admin": frozenset({"admin:image-gen"}),
}
"""What a key can be given, and the scopes that a token would have for it."""


LOOKS: Final = 600
"""A minute, by a key with a rate of its own: some clients poll ten times a second."""
LOOKS_A_REQUEST: Final = 10


class Grant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What a key may do. An empty list of providers or models: all of them."""

    capabilities: tuple[str, ...] = ("images",)
    provider_ids: tuple[str, ...] = ()
    model_ids: tuple[str, ...] = ()

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes of every capability."""
        return frozenset().union(*(CAPABILITIES.get(c, frozenset()) for c in self.capabilities))


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """How often a key may ask, and for how many pictures and US dollars a day (UTC); None: as many as it likes.

    The script that accepts jobs reads the daily quotas in the key's record.
    """

    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    images_per_day: int | None = None
    cost_per_day: float | None = None

    @property
    def windows(self) -> tuple[Window, ...]:
        """How often it may ask, the shortest first: a burst that is refused eats nothing of the day."""
        told = ((self.requests_per_minute, 60), (self.requests_per_day, 86_400))
        return tuple(Window(amount, seconds) for amount, seconds in told if amount is not None)

    @property
    def looks(self) -> tuple[Window, ...]:
        """How often it may look at what it has asked for: apart from its rate, so that nobody polls it away."""
        each_minute = self.requests_per_minute or 0
        return (Window(max(LOOKS, LOOKS_A_REQUEST * each_minute), 60, "looks"),) if self.windows else ()


class KeySpec(Struct, frozen=True, kw_only=True):
    """A key that is asked for. `subject`: who its jobs belong to, by default the key itself."""

    name: str
    subject: str | None = None
    grant: Grant = Grant()
    limits: Limits = Limits()
    expires_ms: int | None = None
    metadata: dict[str, str] = {}


class Rotated(Struct, frozen=True):
    """A secret that was replaced and stays valid until then (Unix milliseconds)."""

    hash: str
    until_ms: int


class ApiKey(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key as it is kept. `hash`: SHA-256 of the secret; `hint`: its last four characters; times in Unix ms."""

    id: str
    org: str
    subject: str
    name: str
    hash: str
    hint: str
    grant: Grant
    limits: Limits
    created_ms: int
    created_by: str
    expires_ms: int | None = None
    revoked_ms: int | None = None
    rotated_ms: int | None = None
    rotated: Rotated | None = None
    metadata: dict[str, str] = {}

    def status(self, now: int) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_ms is not None:
            return "revoked"
        return "expired" if self.expires_ms is not None and self.expires_ms <= now else "active"

    def opened_by(self, hashed: str, now: int) -> bool:
        """Whether a secret of this hash opens it now. Takes the same time whatever the hash."""
        opens = hmac.compare_digest(self.hash, hashed)
        if self.rotated is not None and self.rotated.until_ms > now:
            opens |= hmac.compare_digest(self.rotated.hash, hashed)
        return opens and self.status(now) == "active"


def check(spec: KeySpec, providers: Collection[str], now: int) -> None:
    """Hold a key's spec to its bounds; `providers` are the known ones.

    Raises `InvalidInput` that names the field of the API.
    """
    if not spec.name.strip() or len(spec.name) > _MAX_NAME_LENGTH or not spec.name.isprintable():
        raise InvalidInput(f"must be 1 to {_MAX_NAME_LENGTH} printable characters", field="name")
    if spec.subject is not None and not _SUBJECT.fullmatch(spec.subject):
        raise InvalidInput("must be 1 to 128 printable ASCII characters without spaces", field="subject")
    if spec.expires_ms is not None and spec.expires_ms <= now:
        raise InvalidInput("must be in the future", field="expiresAt")
    for field, amount, least in (
        ("rateLimits.requestsPerMinute", spec.limits.requests_per_minute, 1),
        ("rateLimits.requestsPerDay", spec.limits.requests_per_day, 1),
        ("rateLimits.imagesPerDay", spec.limits.images_per_day, 0),
        ("rateLimits.costPerDay", spec.limits.cost_per_day, 0),
    ):
        if amount is not None and not least <= amount <= _MAX_PER_WINDOW:
            raise InvalidInput(f"must be {least} to {_MAX_PER_WINDOW}", field=field)
    _check_grant(spec.grant, providers)
    checked_metadata(spec.metadata)


def key_json(key: ApiKey, used_ms: int | None = None) -> dict[str, Any]:
    """A key as people read it: never its secret, never its hash."""
    now = now_ms()
    told = {
        "object": "api_key",
        "id": key.id,
        "orgId": key.org,
        "name": key.name,
        "subject": key.subject,
        "hint": f"{tokens.PREFIX}…{key.hint}",
        "status": key.status(now),
        "scopes": {
            "capabilities": list(key.grant.capabilities),
            "providerIds": list(key.grant.provider_ids),
            "modelIds": list(key.grant.model_ids),
        },
        "rateLimits": {
            "requestsPerMinute": key.limits.requests_per_minute,
            "requestsPerDay": key.limits.requests_per_day,
            "imagesPerDay": key.limits.images_per_day,
            "costPerDay": key.limits.cost_per_day,
        },
        "metadata": key.metadata,
        "createdAt": moment(key.created_ms),
        "createdBy": key.created_by,
        "expiresAt": moment(key.expires_ms),
        "lastUsedAt": moment(used_ms),
        "rotatedAt": moment(key.rotated_ms),
        "revokedAt": moment(key.revoked_ms),
    }
    if key.rotated is not None and key.rotated.until_ms > now:
        told["previousValidUntil"] = moment(key.rotated.until_ms)
    return told


_MAX_NAME_LENGTH: Final = 200
_MAX_LIST_LENGTH: Final = 100
_MAX_PER_WINDOW: Final = 10_000_000
_SUBJECT: Final = re.compile(r"[\x21-\x7e]{1,128}")


def _check_grant(grant: Grant, providers: Collection[str]) -> None:
    if not grant.capabilities:
        raise InvalidInput("must name at least one", field="scopes.capabilities")
    for field, values in (
        ("scopes.capabilities", grant.capabilities),
        ("scopes.providerIds", grant.provider_ids),
        ("scopes.modelIds", grant.model_ids),
    ):
        if len(values) > _MAX_LIST_LENGTH or len(set(values)) != len(values):
            raise InvalidInput(f"must be at most {_MAX_LIST_LENGTH}, each once", field=field)
    for field, values, known in (
        ("scopes.capabilities", grant.capabilities, CAPABILITIES),
        ("scopes.providerIds", grant.provider_ids, providers),
    ):
        for place, value in enumerate(values):
            if value not in known:
                raise InvalidInput(f"must be one of {', '.join(known)}", field=f"{field}[{place}]")
    for place, model in enumerate(grant.model_ids):
        if not MODEL_NAME.fullmatch(model):
            message = "must be 1 to 128 letters, digits, '.', '_' or '-'"
            raise InvalidInput(message, field=f"scopes.modelIds[{place}]")
