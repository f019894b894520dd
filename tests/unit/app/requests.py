"""Requests as the framework hands them over, without a server."""

from __future__ import annotations

from collections.abc import Iterable

from litestar import Request, post


@post("/", request_max_body_size=None)
async def _route() -> None: ...


def request(body: Iterable[bytes] = (), *, query: str = "", **headers: str) -> Request:
    """A request whose body comes in these pieces; `content_type` is the header `Content-Type`."""
    pieces = [*body, b""]
    messages = [
        {"type": "http.request", "body": piece, "more_body": i < len(pieces) - 1} for i, piece in enumerate(pieces)
    ]

    async def receive():
        return messages.pop(0)

    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": query.encode(),
        "headers": named,
        "route_handler": _route,
    }
    return Request(scope, receive=receive)
