"""Webhook endpoints and their secrets."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Final

from msgspec import Struct

from jobs.model.choices import Include

SECRETS: Final = "webhook secrets"


class Secret(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A secret of an endpoint, sealed. `until_ms`: a newer one has replaced it, and it still signs until then."""

    sealed: str
    until_ms: int | None = None


class Endpoint(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the news of all jobs of an org are posted. Times are Unix milliseconds."""

    id: str
    org: str
    url: str
    events: tuple[str, ...]
    include: Include = Include.FULL
    description: str | None = None
    secrets: tuple[Secret, ...]
    """The newest first."""
    disabled: str | None = None
    """Why nothing is posted; None: it is enabled."""
    failing_since_ms: int | None = None
    """The first failure since anything was delivered."""
    created_ms: int
    updated_ms: int
    metadata: dict[str, str] = {}

    def signing(self, now: int) -> tuple[str, ...]:
        """The secrets, sealed, that sign just now."""
        return tuple(s.sealed for s in self.secrets if s.until_ms is None or s.until_ms > now)


class Watcher(Struct, frozen=True):
    """An endpoint, by its id, that asks for news of the gateway itself: one list of all, whosever they are."""

    id: str
    org: str = ""


def new_secret() -> str:
    """A secret as Standard Webhooks has them: 32 random bytes."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def read_secret(secret: str) -> bytes | None:
    """The key in `whsec_…`, or None where it is none."""
    prefix, _, text = secret.partition("_")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if prefix == "whsec" and 24 <= len(key) <= 64 else None  # noqa: PLR2004  # Standard Webhooks
