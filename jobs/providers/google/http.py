"""How Google's SDK sends: what the far end answered is taken from under it as it came, and no redirect is followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.providers import connections

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession


class Answer(Exception):
    """The far end has answered: the SDK's own reading would lose a picture to any strange word beside it."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = headers
        self.body = body


class CutAnswer(Exception):
    """The answer began, and ended before it was whole; `__cause__` says how."""


def session() -> ClientSession:
    """A session whose calls all end as `Answer` or an error; to be closed by whoever asked for it."""
    return connections.session(_taken)


async def _taken(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Ends the call before aiohttp looks at a redirect: it would send the key along, a header that it does not know."""
    response = await handler(request)
    try:
        body = await response.read()
    except Exception as error:  # not as aiohttp's own: after some of those the SDK sends the order once more
        raise CutAnswer from error
    raise Answer(response.status, response.headers, body)
