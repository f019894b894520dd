"""Whether we live and are ready to serve."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import MediaType, Response, get

from app.ask import AnyRequest
from jobs.errors import DarkroomError


@get("/healthz", opt={"result": "health"})
async def healthz() -> Response[bytes]:
    """The process lives."""
    return _json({"status": "ok"}, 200)


@get("/readyz", opt={"result": "health"})
async def readyz(request: AnyRequest) -> Response[bytes]:
    """The queue and the blob store answer: 200, else 503 with what is missing."""
    try:
        await request.app.state.jobs.ready()
    except DarkroomError as error:
        return _json({"status": "unavailable", "reason": error.message}, 503)
    return _json({"status": "ready"}, 200)


def _json(body: dict[str, str], status: int) -> Response[bytes]:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type=MediaType.JSON)


handlers: Final = (healthz, readyz)
