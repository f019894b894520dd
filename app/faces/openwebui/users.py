"""Who asks as Open WebUI knows people: by role, and by the permission to make pictures."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from app.auth import openwebui
from app.auth.caller import ADMIN, READ, WRITE, Caller
from app.faces.openwebui.errors import API_KEY, ROLE
from app.http.caller import identified
from app.http.origin import written_elsewhere
from app.services import AnyRequest
from jobs.errors import Forbidden, Unauthorized

_COOKIE: Final = "token"
_THEIR_KEYS: Final = "Bearer sk-"


class User(Struct, frozen=True):
    """A verified user. Rights are those of the token, or the scopes of a credential of ours."""

    caller: Caller
    is_admin: bool
    makes: bool
    """Whether the permission `features.image_generation` is there."""

    def reads(self, subject: str) -> bool:
        """Whether the files and jobs of that subject of the org are theirs to see."""
        return self.is_admin or subject == self.caller.subject

    def require_makes(self) -> None:
        """Raises `Forbidden`."""
        if not self.makes:
            raise Forbidden("this needs the permission features.image_generation", scope=WRITE)


async def known_user(request: AnyRequest, *, looks: bool = False) -> User:
    """Who asks. Raises `Unauthorized` for a user who is pending or a credential without any right here."""
    _take_cookie(request)
    try:
        caller = await identified(request, looks=looks)
    except Unauthorized:
        if request.headers.get("authorization", "").startswith(_THEIR_KEYS):
            raise Forbidden("Open WebUI's own API keys are not known here", reason=API_KEY) from None
        raise
    scopes = caller.scopes
    user = User(caller, bool(scopes & {ADMIN, openwebui.ADMIN}), bool(scopes & {WRITE, openwebui.MAKER}))
    if not (user.is_admin or user.makes or scopes & {READ, openwebui.USER}):
        raise Unauthorized("the user has no role yet", reason=ROLE)
    return user


async def known_admin(request: AnyRequest) -> User:
    """An administrator who asks. Raises `Unauthorized` for anybody else, as Open WebUI does."""
    user = await known_user(request)
    if not user.is_admin:
        raise Unauthorized("this is for administrators", reason=ROLE)
    return user


def _take_cookie(request: AnyRequest) -> None:
    """The cookie `token` is as good as a bearer token where there is no other credential, from here to the answer.

    A browser sends it whichever page asks, and the proxy hides this server's name: it is not taken from a page of
    another site.
    """
    token = request.cookies.get(_COOKIE)
    headers = request.scope["headers"]
    others = any(name in {b"authorization", b"api-key", b"x-api-key"} for name, _ in headers)
    if token and not others and not written_elsewhere(request):
        bearer = (b"authorization", f"Bearer {token}".encode("latin-1", "replace"))
        request.scope["headers"] = [*headers, bearer]
