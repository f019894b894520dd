"""How Google's SDK sends: what the far end answered is taken from under it as it came, and no redirect is followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from jobs.providers import connections

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession


PIECE_BYTES: Final = 256 * 1024


class Answer(Exception):
    """The far end has answered: the SDK's own reading would lose a picture to any strange word beside it."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = headers
        self.body = body


class CutAnswer(Exception):
    """The answer began, and ended before it was whole; `__cause__` says how. `body` is what came of it."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"status {status}, cut")
        self.status = status
        self.body = body


def session() -> ClientSession:
    """A session whose calls all end as `Answer` or an error; to be closed by whoever asked for it."""
    return connections.session(_taken)


async def _taken(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Ends the call before aiohttp looks at a redirect: it would send the key along, a header that it does not know."""
    response = await handler(request)
    body = bytearray()
    try:
        async for piece in response.content.iter_chunked(PIECE_BYTES):
            body += piece
    except Exception as error:  # not as aiohttp's own: after some of those the SDK sends the order once more
        raise CutAnswer(response.status, bytes(body)) from error
    finally:
        response.close()
    raise Answer(response.status, response.headers, bytes(body))
