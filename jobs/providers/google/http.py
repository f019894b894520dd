"""An aiohttp session for an SDK: connecting has its own short time, an error status is kept, no redirect followed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from aiohttp import ClientResponse, ClientSession, ClientTimeout, TCPConnector

from jobs.providers.outcomes import connect_seconds

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


_PICTURE_BYTES: Final = 4 * 1024 * 1024
"""Read ahead, so that a picture's answer is not fetched in slices of aiohttp's 64 KiB."""


class ErrorStatus(Exception):
    """The far end answered with another status than 200."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = headers
        self.body = body


def session() -> ClientSession:
    """A session whose calls fail as `ErrorStatus`; to be closed by whoever asked for it."""
    return ClientSession(
        connector=_Connector(limit=0),
        trust_env=True,
        read_bufsize=_PICTURE_BYTES,
        middlewares=(_only_200,),
    )


class _Connector(TCPConnector):
    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:  # noqa: ASYNC109  # aiohttp's own signature
        async with asyncio.timeout(timeout.total and connect_seconds(timeout.total)):
            return await super().connect(req, traces, timeout)


async def _only_200(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Ends the call before aiohttp looks at a redirect: it would send the key along, a header that it does not know."""
    response = await handler(request)
    if response.status != 200:  # noqa: PLR2004  # HTTP
        raise ErrorStatus(response.status, response.headers, await response.read())
    return response
