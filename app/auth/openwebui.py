"""Tokens of an Open WebUI: HS256 by its `WEBUI_SECRET_KEY`, with the claims `id`, `jti`, `iat` and perhaps `exp`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from app.auth.caller import Caller
from app.auth.claims import check_trust
from app.auth.signatures import header_of, verified
from jobs.errors import Unauthorized

if TYPE_CHECKING:
    from jobs.settings import Settings

PENDING: Final = "openwebui:pending"
USER: Final = "openwebui:user"
ADMIN: Final = "openwebui:admin"
MAKER: Final = "openwebui:image_generation"
"""What such a token opens: no scope of ours, so that none of the other faces takes it."""
_ROLES: Final = {"pending": PENDING, "user": USER, "admin": ADMIN}
_MAX_ID: Final = 255


class OpenWebUITokens:
    """Knows an Open WebUI's users by their tokens, all of one org."""

    def __init__(self, secret: str, settings: Settings) -> None:
        self._secret = secret
        self._org = settings.openwebui_org
        self._may = settings.user_image_generation

    def caller(self, token: str) -> Caller | None:
        """Whose token it is; None: it is no Open WebUI's. Raises `Unauthorized` where one has expired."""
        try:
            if header_of(token).get("alg") != "HS256":
                return None
            claims = verified(token, self._secret, "HS256")
        except Unauthorized:
            return None
        return Caller(self._org, _subject(claims), frozenset(self._rights(claims)), "openwebui")

    def _rights(self, claims: Mapping[str, Any]) -> set[str]:
        """By the claims `role` and `permissions.features.image_generation`, as Open WebUI tells a session's user.

        Its own tokens name neither: a user then, and the permission that is everybody's. An admin needs none.
        """
        role = _ROLES.get(str(claims.get("role") or "user"), PENDING)
        features = _inner(_inner(claims, "permissions"), "features")
        may = features.get("image_generation", self._may)
        return {role, *({MAKER} if role == ADMIN or (role == USER and may is True) else ())}


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims.get("id")
    if not isinstance(subject, str) or not subject.isprintable() or not 1 <= len(subject) <= _MAX_ID:
        raise Unauthorized("the token names no user (claim id)", claim="id")
    if claims.get("exp") is not None:  # JWT_EXPIRES_IN=-1 makes tokens without an end
        _check_end(claims)
    return subject


def _check_end(claims: Mapping[str, Any]) -> None:
    if isinstance(claims["exp"], bool) or not isinstance(claims["exp"], int | float):
        raise Unauthorized("the token's claim exp must be a number of seconds since 1970 (RFC 7519)", claim="exp")
    check_trust({"exp": claims["exp"]}, None, None)


def _inner(claims: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = claims.get(name)
    return found if isinstance(found, Mapping) else {}
