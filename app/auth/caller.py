"""Who asks: an org, a subject, and what they may do."""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct, to_builtins

from jobs.access.api_key import ApiKey, Grant, Limits
from jobs.errors import Forbidden
from jobs.model.times import moment

WRITE: Final = "write:image-gen"
READ: Final = "read:image-gen"
ADMIN: Final = "admin:image-gen"
SESSION: Final = "session"
"""How those are known who have signed in at a front end: by a cookie, which a browser sends whatever page asks."""
UNLIMITED: Final = Limits()


class Caller(Struct, frozen=True):
    """Who asks. `how`: `jwt`, `key`, `session`, `openwebui` or `dev`; `key` has the limits that are a key's own."""

    org: str
    subject: str
    scopes: frozenset[str]
    how: str
    key: ApiKey | None = None

    @property
    def key_id(self) -> str | None:
        """The API key by which the caller is known, if any: its daily quotas count what is asked for."""
        return None if self.key is None else self.key.id

    @property
    def ends_ms(self) -> int | None:
        """When the caller's own key ends (Unix ms); None: it does not, or there is none."""
        return None if self.key is None else self.key.expires_ms

    def require(self, scope: str) -> None:
        """Raises `Forbidden` naming the scope."""
        if scope not in self.scopes and not (scope == READ and WRITE in self.scopes):
            raise Forbidden(f"this needs the scope {scope}", scope=scope)

    def require_model(self, provider: str, model: str, asked: str | None = None) -> None:
        """Raises `Forbidden` naming the field, when the caller's key is for other providers or models.

        `asked`: the name by which the model was asked for; a key may be for that.
        """
        if self.key is None:
            return
        for field, values, allowed in (
            ("provider", {provider}, self.key.grant.provider_ids),
            ("model", {model, asked}, self.key.grant.model_ids),
        ):
            if allowed and values.isdisjoint(allowed):
                raise Forbidden(f"this API key is only for {', '.join(allowed)}", field=field)

    def require_grant(self, grant: Grant, limits: Limits = UNLIMITED) -> None:
        """Raises `Forbidden` naming the field, when somebody with these could do what the caller cannot.

        The one rule of giving, taking and changing rights: nobody does so with more than he has.
        """
        for scope in sorted(grant.scopes):
            if scope not in self.scopes and not (scope == READ and WRITE in self.scopes):
                raise Forbidden(f"this needs the scope {scope}", scope=scope, field="scopes.capabilities")
        own = None if self.key is None else self.key.grant
        for field, given, held in (
            ("scopes.providerIds", grant.provider_ids, own and own.provider_ids),
            ("scopes.modelIds", grant.model_ids, own and own.model_ids),
        ):
            if held and not (given and set(given) <= set(held)):
                raise Forbidden(f"your own key is only for {', '.join(held)}", field=field)
        asked = to_builtins(limits)
        for name, most in ({} if self.key is None else to_builtins(self.key.limits)).items():
            if asked.get(name, math.inf) > most:
                raise Forbidden(f"your own key has at most {most}", field=f"rateLimits.{name}")

    def require_outlasts(self, until_ms: int | None) -> None:
        """Raises `Forbidden` when something that ends then (None: never) would outlast the caller's own key."""
        own = self.ends_ms
        if own is not None and (until_ms is None or until_ms > own):
            raise Forbidden(f"your own key ends at {moment(own)}", field="expiresAt")
