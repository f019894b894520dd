"""Whether we live and are ready to serve."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import MediaType, Response, get

from app.auth.caller import READ
from app.http.caller import known_caller
from app.http.problems import envelope
from app.http.query import only_query
from app.services import AnyRequest, services
from jobs.errors import DarkroomError


@get("/healthz", opt={"result": "health"})
async def healthz() -> Response[bytes]:
    """The process lives."""
    return _json({"status": "ok"}, 200)


@get("/readyz", opt={"result": "health"})
async def readyz(request: AnyRequest) -> Response[bytes]:
    """The queue and the blob store answer: 200, else 503 with what is missing.

    Without a living worker it is `degraded`, and 200: jobs are accepted, and wait for one.
    """
    overview = services(request).overview
    try:
        await overview.ready()
        if not await overview.workers():
            return _json({"status": "degraded", "workers": 0}, 200)
    except DarkroomError as error:
        return _json({"status": "unavailable", "reason": error.message}, 503)
    return _json({"status": "ready"}, 200)


@get("/api/v1/stats", opt={"result": "stats"})
async def stats(request: AnyRequest) -> Response[bytes]:
    """The queue in numbers, for autoscaling: what is ready, runs and backs off, and what workers offer."""
    await known_caller(request, READ)
    only_query(request)
    counts = await services(request).overview.counts()
    here = {"waits": len(services(request).waits), "streams": len(services(request).streams)}
    body = envelope({"object": "stats", **counts, "here": here})
    return Response(msgspec.json.encode(body), media_type=MediaType.JSON)


def _json(body: dict[str, str | int], status: int) -> Response[bytes]:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type=MediaType.JSON)


handlers: Final = (healthz, readyz, stats)
