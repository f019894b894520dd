"""Models as OpenAI lists them: the names that are known here, and who makes their pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import MediaType, Response

from jobs.errors import Forbidden

if TYPE_CHECKING:
    from app.ask import AnyRequest
    from app.auth import Caller
    from jobs.client import Jobs

CREATED: Final = 0
"""Nobody knows when a model was made; the SDKs' types want a number."""


def offered(request: AnyRequest, caller: Caller) -> list[dict[str, Any]]:
    """Each `{id, object, created, owned_by}`, those alone that the caller may ask for."""
    jobs: Jobs = request.app.state.jobs
    return [
        {"id": model.id, "object": "model", "created": CREATED, "owned_by": model.owned_by}
        for model in jobs.offered()
        if _may(caller, jobs, model.id)
    ]


def model_json(body: dict[str, Any]) -> Response[bytes]:
    """The body as JSON, without an envelope."""
    return Response(msgspec.json.encode(body), media_type=MediaType.JSON)


def _may(caller: Caller, jobs: Jobs, name: str) -> bool:
    for target in jobs.targets(name):
        try:
            caller.require_model(target.provider, target.model, name)
        except Forbidden:
            continue
        return True
    return False
