"""What a token's claims may be, each of those that are read here (RFC 7519, OpenID Connect Core 1.0)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from jobs.errors import Unauthorized

ORGS: Final = ("org_id", "orgId", "organization_id")
"""Where the org is looked for, in this order; one that is empty or null is passed over."""
SCOPES: Final = ("scope", "scopes", "scp")
"""Where the scopes are looked for, in this order: words with spaces between them, or a list of words."""
LEEWAY_SECONDS: Final = 30
"""The issuer's clock may be so far off."""
MISSING: Final = "token_claim_missing"
"""The reason that is told of a token without a claim that it needs."""
MAX_SUBJECT: Final = 255
"""OpenID Connect Core 1.0, section 2."""


def check_claims(claims: Mapping[str, Any]) -> None:
    """Raises `Unauthorized` naming the first claim that is not of its type; null is as good as left out."""
    for name in ("exp", "nbf", "iat"):
        _hold(claims, name, _is_date, "a number of seconds since 1970 (RFC 7519)")
    _hold(claims, "sub", _is_subject, f"printable text of at most {MAX_SUBJECT} characters")
    for name in ORGS:
        _hold(claims, name, _is_text, "printable text")
    for name in SCOPES:
        _hold(claims, name, _are_words, "text, or a list of texts")


def check_trust(claims: Mapping[str, Any], issuer: str | None, audience: str | None) -> None:
    """Raises `Unauthorized` naming the claim by which a well-formed token does not hold here and now.

    It never says what would hold: who asks has a signed token, and may learn which of its claims is wrong.
    """
    needed = {"exp": True, "iss": issuer is not None, "aud": audience is not None}
    for name in (name for name, is_needed in needed.items() if is_needed and claims.get(name) is None):
        raise Unauthorized(f"the token has no claim {name}", reason=MISSING, claim=name)
    now = time.time()
    if claims["exp"] <= now - LEEWAY_SECONDS:
        raise Unauthorized("the token has expired (claim exp)", reason="token_expired", claim="exp")
    for name in ("nbf", "iat"):
        if (claims.get(name) or 0) > now + LEEWAY_SECONDS:
            raise Unauthorized(f"the token does not hold yet (claim {name})", reason="token_not_yet", claim=name)
    if issuer is not None and claims["iss"] != issuer:
        raise Unauthorized("the token's issuer (claim iss) is not trusted here", reason="token_issuer", claim="iss")
    heard = claims.get("aud")
    if audience is not None and audience not in (heard if isinstance(heard, list) else [heard]):
        raise Unauthorized("the token is for another audience (claim aud)", reason="token_audience", claim="aud")


def org_of(claims: Mapping[str, Any]) -> str | None:
    """The org that the token names."""
    return next((claims[name] for name in ORGS if claims.get(name)), None)


def subject_of(claims: Mapping[str, Any]) -> str:
    """Whose token it is; `-` where it does not say."""
    return claims.get("sub") or "-"


def scopes_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """What the token opens."""
    found = next((claims[name] for name in SCOPES if claims.get(name) is not None), ())
    return frozenset(found.split(" ") if isinstance(found, str) else found)


_LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999: beyond it there is no date."""


def _hold(claims: Mapping[str, Any], name: str, fits: Any, form: str) -> None:
    value = claims.get(name)
    if value is not None and not fits(value):
        raise Unauthorized(f"the token's claim {name} must be {form}", claim=name)


def _is_date(value: object) -> bool:
    """JSON's true is a number of Python's, and NaN and the infinities are numbers of its JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LAST_SECOND


def _is_text(value: object) -> bool:
    """Printable text holds no half of a surrogate pair: that can be written nowhere."""
    return isinstance(value, str) and value.isprintable()


def _is_subject(value: object) -> bool:
    return _is_text(value) and len(str(value)) <= MAX_SUBJECT


def _are_words(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(word, str) for word in value))
