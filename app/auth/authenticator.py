"""Who may ask: bearer tokens, API keys, a front end's session cookies and, in development, the dev key."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from app.auth.caller import ADMIN, READ, SESSION, WRITE, Caller
from app.auth.claims import MISSING, check_claims, check_trust, org_of, scopes_of, subject_of
from app.auth.jwks import KeySet
from app.auth.openwebui import OpenWebUITokens
from app.auth.session_cookies import without_others
from app.auth.sessions import Sessions
from app.auth.signatures import header_of, verified
from jobs.access.tokens import PREFIX
from jobs.errors import Forbidden, Unauthorized
from jobs.ids import org_of_one

if TYPE_CHECKING:
    from jobs.access.keys import Keys
    from jobs.settings import Settings

ORG: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""An org's name is part of blob paths."""
Headers = tuple[tuple[str, str], ...]
"""Names, in lower case, and values."""
CREDENTIALS: Final = frozenset({"authorization", "api-key", "x-api-key"})
X_ORG_ID: Final = "x-org-id"
NO_CREDENTIAL: Final = "no_credential"
"""The reason that is told where a request names nobody."""
COOKIE: Final = "cookie"
_KEPT: Final = CREDENTIALS | {X_ORG_ID, COOKIE}


def credential_headers(scope: Mapping[str, Any]) -> Headers:
    """Of a request's headers those by which its caller is known: the others are forgotten."""
    headers = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    kept = ((n, without_others(value) if n == COOKIE else value) for n, value in headers if n in _KEPT)
    return tuple((name, value) for name, value in kept if value or name != COOKIE)


class Authenticator:
    """Knows callers by their headers."""

    def __init__(self, settings: Settings, keys: Keys | None = None) -> None:
        self._api_keys = keys
        self._secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
        self._keys = KeySet(settings.jwt_jwks_url) if settings.jwt_jwks_url else None
        webui = settings.webui_secret_key
        self._webui = OpenWebUITokens(webui.get_secret_value(), settings) if webui else None
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._trust_header = settings.trust_org_header
        self._sessions = Sessions.of(settings)
        self._dev_key = settings.dev_key.get_secret_value() if settings.dev and settings.dev_key else None

    async def caller(self, headers: Sequence[tuple[str, str]]) -> Caller:
        """The caller behind a request's headers (names in lower case). Raises `Unauthorized`, `Forbidden`."""
        if (signed_in := await self._signed_in(headers)) is not None:
            return signed_in
        token = _credential(headers)
        asked = _only(headers, X_ORG_ID)
        if self._dev_key is not None and hmac.compare_digest(token.encode(), self._dev_key.encode()):
            return Caller(_org(asked or "dev"), "dev", frozenset({WRITE, READ, ADMIN}), "dev")
        if token.startswith(PREFIX):
            return await self._holder(token, asked)
        user = None if self._webui is None else self._webui.caller(token)
        if user is not None:
            _agree(asked, user.org)
            return user
        claims = await self._claims(token)
        org = org_of(claims)
        if org is None and self._trust_header:
            org = asked
        if org is None:
            raise Unauthorized("the token names no org (claim org_id)", reason=MISSING, claim="org_id")
        org = _org(org)
        _agree(asked, org)
        return Caller(org, subject_of(claims), scopes_of(claims), "jwt")

    async def close(self) -> None:
        """Close the clients of the key set and of the front end."""
        for client in (self._keys, self._sessions):
            if client is not None:
                await client.close()

    async def _signed_in(self, headers: Sequence[tuple[str, str]]) -> Caller | None:
        """The user of the front end whose session the cookies hold, in a request that names no other credential."""
        if self._sessions is None or any(name in CREDENTIALS for name, _ in headers):
            return None
        person = await self._sessions.person(headers)
        if person is None:
            return None
        org = org_of_one(person)
        _agree(_only(headers, X_ORG_ID), org)
        return Caller(org, person, frozenset({WRITE, READ}), SESSION)

    async def _holder(self, token: str, asked: str | None) -> Caller:
        """The holder of an API key. Unknown, misspelt, expired or revoked: one text, so that nobody learns which."""
        key = None if self._api_keys is None else await self._api_keys.known(token)
        if key is None:
            raise Unauthorized("the API key does not hold")
        _agree(asked, key.org)
        return Caller(key.org, key.subject, key.grant.scopes, "key", key)

    async def _claims(self, token: str) -> Mapping[str, Any]:
        header = header_of(token)
        algorithm = str(header.get("alg"))
        claims = verified(token, await self._key(algorithm, header.get("kid")), algorithm)
        check_claims(claims)
        check_trust(claims, self._issuer, self._audience)
        return claims

    async def _key(self, algorithm: str, kid: object) -> Any:
        """The one key that may verify the algorithm: a token never brings or chooses a key of another type."""
        if algorithm == "HS256" and self._secret is not None:
            return self._secret
        if algorithm in _KEY_TYPES and self._keys is not None:
            return (await self._keys.key(kid if isinstance(kid, str) else None, _KEY_TYPES[algorithm])).key
        raise Unauthorized("the token's algorithm is not accepted here")


_KEY_TYPES: Final = {"RS256": "RSA", "ES256": "EC"}


def _credential(headers: Sequence[tuple[str, str]]) -> str:
    """The one credential of a request; two headers may repeat it, but not contradict each other."""
    sent = {value for name in ("api-key", "x-api-key") if (value := _only(headers, name))}
    bearer = _only(headers, "authorization")
    if bearer is not None:
        kind, _, token = bearer.partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise Unauthorized("send `Authorization: Bearer <token>`")
        sent.add(token.strip())
    if len(sent) > 1:
        raise Unauthorized("the headers hold different credentials: send one")
    if not sent:
        raise Unauthorized("no credential: send `Authorization: Bearer <token>`", reason=NO_CREDENTIAL)
    return sent.pop()


def _only(headers: Sequence[tuple[str, str]], name: str) -> str | None:
    values = [value for key, value in headers if key == name]
    if len(values) > 1:
        raise Unauthorized(f"more than one {name} header")
    return values[0] if values else None


def _agree(asked: str | None, org: str) -> None:
    if asked is not None and asked != org:
        raise Forbidden("X-Org-ID contradicts the credential's org", field="X-Org-ID")


def _org(value: object) -> str:
    if not isinstance(value, str) or not ORG.fullmatch(value):
        raise Forbidden("an org's name is 1 to 64 letters, digits, '_' or '-'", field="org_id")
    return value
