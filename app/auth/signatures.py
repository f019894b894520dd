"""A token's signature (RFC 7515): what its header says, and whether the one key that may have made it has."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import jwt

from jobs.errors import Unauthorized

MAX_TOKEN_LENGTH: Final = 8_192


def header_of(token: str) -> Mapping[str, Any]:
    """What a token says of itself, of which nothing is believed yet. Raises `Unauthorized`."""
    if len(token) > MAX_TOKEN_LENGTH or not _JWT.fullmatch(token):
        raise Unauthorized("the credential is not one that is accepted here")
    try:
        header: Mapping[str, Any] = _JWS.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise _unreadable() from None
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in _TYPES:
        raise Unauthorized("the token is of another type", reason="token_type")
    return header


def verified(token: str, key: Any, algorithm: str) -> Mapping[str, Any]:
    """The claims of a token that was signed by that key. Raises `Unauthorized`."""
    try:
        claims = json.loads(_JWS.decode(token, key, [algorithm]))
    except jwt.InvalidSignatureError:
        raise Unauthorized("the token's signature does not hold", reason="token_signature") from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise _unreadable() from None
    if not isinstance(claims, dict):
        raise _unreadable()
    return claims


class _Signed(jwt.PyJWS):
    """The library takes a null for a name of a key, and refuses it as one that is no text."""

    def _validate_kid(self, kid: Any) -> None:
        if kid is not None:
            super()._validate_kid(kid)


_JWS: Final = _Signed()
_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES: Final = frozenset({"jwt", "at+jwt"})
"""Media types (RFC 7519 section 5.1, RFC 9068 section 2.1): in any case, `application/` may be left out."""


def _unreadable() -> Unauthorized:
    return Unauthorized("the token cannot be read", reason="token_unreadable")
