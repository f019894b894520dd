"""How Google's SDK sends: an error status is kept, no redirect followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.providers import connections

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession


class ErrorStatus(Exception):
    """The far end answered with another status than 200."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = headers
        self.body = body


def session() -> ClientSession:
    """A session whose calls fail as `ErrorStatus`; to be closed by whoever asked for it."""
    return connections.session(_only_200)


async def _only_200(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Ends the call before aiohttp looks at a redirect: it would send the key along, a header that it does not know."""
    response = await handler(request)
    if response.status != 200:  # noqa: PLR2004  # HTTP
        raise ErrorStatus(response.status, response.headers, await response.read())
    return response
