"""HEAD (RFC 9110 section 9.3.2): answered wherever GET is, by what GET would have said of the answer."""

from __future__ import annotations

from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

_ASKED: Final = "darkroom.head"


class HeadByGet:
    """Asks the app within for a GET, and keeps the body. It stands before the routing, which knows no HEAD.

    What is below the path `apart` is left alone: a GET there opens something.
    """

    def __init__(self, app: ASGIApp, apart: str) -> None:
        self._app = app
        self._apart = apart

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; once the head is out, the server says that the client has gone."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD" or scope["path"].startswith(self._apart):
            await self._app(scope, receive, send)
            return
        over = False

        async def head_alone(message: Message) -> None:
            nonlocal over
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                over = True
            elif not over:
                await send(message)

        inner: Any = {**scope, "method": "GET", _ASKED: True}
        await self._app(inner, receive, head_alone)


def head_alone(scope: Any) -> bool:
    """Whether nothing of the body will reach the client."""
    return _ASKED in scope
