"""Sessions that the front end keeps in its database (the `database` strategy): it is asked whose a token is."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import httpx
from msgspec import Struct

from app.auth.fetching import fetched_json
from jobs.errors import ServiceUnavailable

if TYPE_CHECKING:
    from app.auth.session_cookies import SessionCookie

KNOWN_SECONDS: Final = 30.0
"""How long an answer is believed: whoever signs out is known for that long."""
MAX_KNOWN: Final = 10_000
"""Answers that are kept; the one that was used longest ago goes first."""
MAX_BODY_BYTES: Final = 64 * 1024
MAX_CONNECTIONS: Final = 20
_DEFAULT_PATH: Final = "/api/auth"
"""Where both libraries have their routes unless `NEXTAUTH_URL` names a path."""


class SessionLookup:
    """Asks `{NEXTAUTH_URL}/api/auth/session`, once for all who ask with the same token at a time."""

    def __init__(self, url: str) -> None:
        self._url = f"{url if urlsplit(url).path else url + _DEFAULT_PATH}/session"
        limits = httpx.Limits(max_connections=MAX_CONNECTIONS)
        self._client = httpx.AsyncClient(timeout=5, trust_env=False, follow_redirects=False, limits=limits)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Mapping[str, Any] | None]] = {}

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def user(self, cookie: SessionCookie) -> Mapping[str, Any] | None:
        """The user of the session; None: there is no such session. Raises `ServiceUnavailable`."""
        key = hashlib.sha256(f"{cookie.name}={cookie.token}".encode()).digest()
        known = self._known.get(key)
        if known is not None and known.until > time.monotonic():
            self._known.move_to_end(key)
            return known.user
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(key, cookie))
            asking.add_done_callback(lambda task: self._asked(key, task))
        return await asyncio.shield(asking)

    async def _ask(self, key: bytes, cookie: SessionCookie) -> Mapping[str, Any] | None:
        user = _user(await self._answer(f"{cookie.name}={quote(cookie.token, safe='%')}"))
        self._known[key] = _Known(user, time.monotonic() + KNOWN_SECONDS)
        self._known.move_to_end(key)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return user

    def _asked(self, key: bytes, task: asyncio.Task[Any]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever asked may have gone

    async def _answer(self, cookie: str) -> Any:
        try:
            return await fetched_json(self._client, self._url, MAX_BODY_BYTES, {"Cookie": cookie})
        except (httpx.HTTPError, ValueError):
            message = "the front end that knows the sessions cannot be asked just now"
            raise ServiceUnavailable(message, reason="sessions_unavailable", retry_after=5) from None


class _Known(Struct, frozen=True):
    user: Mapping[str, Any] | None
    until: float
    """By the monotonic clock."""


def _user(told: Any) -> Mapping[str, Any] | None:
    """`{}` (NextAuth 4) and `null` (Auth.js 5) are nobody's."""
    user = told.get("user") if isinstance(told, dict) else None
    return user if isinstance(user, dict) else None
