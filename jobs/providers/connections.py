"""The connections that paid calls go out on: each call has a fresh one, which ends with its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ssl import SSLContext, create_default_context
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import ClientMiddlewareType, ClientSession, ClientTimeout, TCPConnector

from jobs.authorities import trusted
from jobs.providers.outcomes import connect_seconds

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, StreamReader
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_PICTURE_BYTES: Final = 4 * 1024 * 1024
"""Read ahead, so that a picture's answer is not fetched in slices of aiohttp's 64 KiB."""

_HEADER_BYTES: Final = 64 * 1024
"""Of one header of an answer, as far ends' cookies and content networks' reports need it."""
_HEADERS: Final = 1_000
"""Of one answer."""


def session(*middlewares: ClientMiddlewareType, ssl: SSLContext | None = None) -> ClientSession:
    """A session for an SDK, to be closed by whoever asked for it; connecting has its own short time.

    A connection that was kept may be closed by the far end just as an order leaves on it, and then nobody knows
    whether it arrived: a fresh one costs a handshake, beside a call of many seconds.
    """
    return ClientSession(
        connector=_Connector(limit=0, force_close=True, ssl=ssl or _verifying()),
        trust_env=True,
        read_bufsize=_PICTURE_BYTES,
        max_line_size=_HEADER_BYTES,
        max_field_size=_HEADER_BYTES,
        max_headers=_HEADERS,
        middlewares=(*middlewares, _keeping),
    )


def _verifying() -> SSLContext | bool:
    authorities = trusted()
    return True if authorities is None else create_default_context(cafile=authorities)


async def _keeping(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    response = await handler(request)
    response.content = cast("StreamReader", _Kept(response.content))
    return response


class _Kept:
    """A body of which everything that came is handed out, also when it was cut: a picture may be whole in it."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """The body in pieces of at most so many bytes. Raises as aiohttp does, after the last of them."""
        try:
            async for piece in self._content.iter_chunked(size):
                yield piece
        except Exception:
            content: Any = self._content
            rest = b"".join(content._buffer)[content._buffer_offset :]  # noqa: SLF001  # aiohttp drops what it has
            if rest:
                yield rest
            raise


class _Connector(TCPConnector):
    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:  # noqa: ASYNC109  # aiohttp's own signature
        async with asyncio.timeout(timeout.total and connect_seconds(timeout.total)):
            return await super().connect(req, traces, timeout)
