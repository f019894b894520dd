"""The log's view of a request: its id in every line, and one line that says how it ended."""

from __future__ import annotations

import time

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.http.head import head_alone
from app.http.problems import id_of

_log = structlog.get_logger()


class RequestLog:
    """Every log line of a request carries its id, and one line says how it ended (status 0: the caller had gone)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=id_of(scope)):
            try:
                await self._app(scope, receive, noted)
            finally:
                took = round((time.monotonic() - began) * 1000)
                method = "HEAD" if head_alone(scope) else scope["method"]
                _log.info("request", method=method, path=scope["path"], status=status, ms=took)
