"""The connections that paid calls go out on: each call has a fresh one, which ends with its answer."""

from __future__ import annotations

import asyncio
from ssl import SSLContext
from typing import TYPE_CHECKING, Final

from aiohttp import ClientMiddlewareType, ClientSession, ClientTimeout, TCPConnector

from jobs.providers.outcomes import connect_seconds

if TYPE_CHECKING:
    from aiohttp import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_PICTURE_BYTES: Final = 4 * 1024 * 1024
"""Read ahead, so that a picture's answer is not fetched in slices of aiohttp's 64 KiB."""

_HEADER_BYTES: Final = 64 * 1024
"""Of one header of an answer, as far ends' cookies and content networks' reports need it."""


def session(*middlewares: ClientMiddlewareType, ssl: SSLContext | bool = True) -> ClientSession:
    """A session for an SDK, to be closed by whoever asked for it; connecting has its own short time.

    A connection that was kept may be closed by the far end just as an order leaves on it, and then nobody knows
    whether it arrived: a fresh one costs a handshake, beside a call of many seconds.
    """
    return ClientSession(
        connector=_Connector(limit=0, force_close=True, ssl=ssl),
        trust_env=True,
        read_bufsize=_PICTURE_BYTES,
        max_line_size=_HEADER_BYTES,
        max_field_size=_HEADER_BYTES,
        middlewares=middlewares,
    )


class _Connector(TCPConnector):
    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:  # noqa: ASYNC109  # aiohttp's own signature
        async with asyncio.timeout(timeout.total and connect_seconds(timeout.total)):
            return await super().connect(req, traces, timeout)
