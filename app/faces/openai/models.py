"""Models as OpenAI lists them: the names that are known here, and who makes their pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import MediaType, Response

from app.services import AnyRequest, services
from jobs.errors import Forbidden

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
    target = permitted(caller, name, router.targets(name))[0]
    return {"id": name, "object": "model", "created": CREATED, "owned_by": target.provider}


def permitted(caller: Caller, name: str, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """The targets that the caller's key allows, by the model's own name or by `name`. Raises `Forbidden`."""
    found: list[Target] = []
    refusal: Forbidden | None = None
    for target in targets:
        try:
            caller.require_model(target.provider, target.model, name)
        except Forbidden as error:
            refusal = refusal or error
        else:
            found.append(target)
    if refusal is not None and not found:
        raise refusal
    return tuple(found)


def _may(caller: Caller, router: Router, name: str) -> bool:
    try:
        return bool(permitted(caller, name, router.targets(name)))
    except Forbidden:
        return False
