"""Knowing the caller of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.auth.caller import SESSION
from app.http.origin import check_origin
from app.http.rate_headers import spend
from app.services import AnyRequest, services
from jobs.errors import Forbidden
from jobs.model.request import ImageRequest, Target

if TYPE_CHECKING:
    from app.auth.caller import Caller


async def known_caller(request: AnyRequest, scope: str, *, looks: bool = False) -> Caller:
    """The caller, who has the scope. Raises `Unauthorized`, `RateLimited`, `Forbidden`.

    `looks`: the request asks what became of an earlier one, and spends nothing of its key's rate.
    """
    caller = await identified(request, looks=looks)
    caller.require(scope)
    return caller


async def identified(request: AnyRequest, *, looks: bool = False) -> Caller:
    """The caller, whatever it may do. Raises `Unauthorized`, `RateLimited`."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"]]
    caller: Caller = await services(request).authenticator.caller(headers)
    if caller.how == SESSION:
        check_origin(request)
    if caller.key is not None:
        await spend(request.scope, services(request).rates, caller.key, looks=looks)
    return caller


def permitted(caller: Caller, request: ImageRequest) -> ImageRequest:
    """The request as it is, when the caller may ask its provider and model. Raises `Forbidden` naming the field."""
    caller.require_model(request.provider, request.model)
    return request


def permitted_targets(caller: Caller, name: str, targets: tuple[Target, ...]) -> tuple[Target, ...]:
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
