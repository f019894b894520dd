"""Models as OpenAI lists them: the names that are known here, and who makes their pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import MediaType, Response

from app.http.caller import permitted_targets
from app.services import AnyRequest, services
from jobs.errors import Forbidden, ServiceUnavailable

if TYPE_CHECKING:
    from app.auth.caller import Caller
    from jobs.client.routing import Router
    from jobs.model.request import Target

CREATED: Final = 0
"""Nobody knows when a model was made; the SDKs' types want a number."""


def offered(request: AnyRequest, caller: Caller) -> list[dict[str, Any]]:
    """Each `{id, object, created, owned_by}`, those alone that the caller may ask for."""
    router = services(request).router
    return [
        {"id": model.id, "object": "model", "created": CREATED, "owned_by": model.owned_by}
        for model in router.names()
        if _may(caller, router, model.id)
    ]


def model_json(body: dict[str, Any]) -> Response[bytes]:
    """The body as JSON, without an envelope."""
    return Response(msgspec.json.encode(body), media_type=MediaType.JSON)


def known_model(request: AnyRequest, caller: Caller, name: str) -> dict[str, Any]:
    """One model by its name, listed or not. Raises `InvalidInput`, `Forbidden`."""
    router = services(request).router
    target = permitted_targets(caller, name, router.targets(name))[0]
    return {"id": name, "object": "model", "created": CREATED, "owned_by": target.provider}


def targets_of(router: Router, name: str, provider: str | None) -> tuple[Target, ...]:
    """Where the name leads; a deployment's name is a model's, too, where its provider is not configured."""
    try:
        return router.targets(name, provider)
    except ServiceUnavailable:
        if provider is None:
            raise
        return router.targets(name)


def _may(caller: Caller, router: Router, name: str) -> bool:
    try:
        return bool(permitted_targets(caller, name, router.targets(name)))
    except Forbidden:
        return False
