"""What is held for a request until it has ended, whoever left first and whatever went wrong."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Final

from litestar.types import ASGIApp, Receive, Scope, Send

_HELD: Final = "darkroom.held"


def until_end(scope: Any) -> ExitStack:
    """What is entered here is left once the last byte of the answer has gone, or nobody is there to read it."""
    held: ExitStack = scope.setdefault(_HELD, ExitStack())
    return held


class RequestEnd:
    """Leaves what was entered with `until_end`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        try:
            await self._app(scope, receive, send)
        finally:
            until_end(scope).close()
