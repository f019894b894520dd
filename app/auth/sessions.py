"""Who has signed in at the front end: the person whose session a request's cookies hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from app.auth.session_cookies import SECURE, session_cookies
from app.auth.session_lookup import SessionLookup
from app.auth.session_tokens import SessionKeys, is_jwe
from jobs.errors import Unauthorized

if TYPE_CHECKING:
    from app.auth.session_cookies import SessionCookie
    from jobs.settings import Settings

MAX_PERSON_LENGTH: Final = 255
"""Characters of an email or an id."""


class Sessions:
    """Knows people by the cookies of NextAuth 4 and Auth.js 5, whichever strategy keeps their sessions."""

    def __init__(self, settings: Settings) -> None:
        self._keys = SessionKeys(settings.session_secrets)
        url = settings.nextauth_url
        self._lookup = SessionLookup(url) if url else None
        self._secure_only = bool(url and url.startswith("https:"))

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """None where there is no front end."""
        return cls(settings) if settings.session_secrets or settings.nextauth_url else None

    async def close(self) -> None:
        """Close the front end's client."""
        if self._lookup is not None:
            await self._lookup.close()

    async def person(self, headers: Sequence[tuple[str, str]]) -> str | None:
        """The email of whoever has signed in, or the id; None: there is no session's cookie.

        Raises `Unauthorized` where none of the sessions holds, and `ServiceUnavailable` where nobody knows.

        A front end behind https has secure cookies alone: others may come from a page of a neighbouring host.
        """
        cookies = [c for c in session_cookies(headers) if c.name.startswith(SECURE) or not self._secure_only]
        for cookie in cookies:
            claims = await self._claims(cookie)
            if claims is not None and (person := _person(claims)) is not None:
                return person
        if cookies:
            raise Unauthorized("the session does not hold: sign in again", reason="session_ended")
        return None

    async def _claims(self, cookie: SessionCookie) -> Mapping[str, Any] | None:
        if is_jwe(cookie.token):
            return self._keys.claims(cookie)
        return None if self._lookup is None else await self._lookup.user(cookie)


def _person(claims: Mapping[str, Any]) -> str | None:
    """The first that is fit to be written down."""
    named = (claims.get(name) for name in ("email", "sub", "id"))
    fit = (n for n in named if isinstance(n, str) and 0 < len(n) <= MAX_PERSON_LENGTH and n.isprintable())
    return next(fit, None)
