"""Open WebUI's engines as providers of ours: which model a request means, and which ones there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.faces.openwebui.images_config import ImagesConfig
from app.http.caller import permitted_targets
from app.services import AnyRequest, services
from jobs.catalog.families import MODEL_NAME
from jobs.client.engines import ENGINES as SERVERS
from jobs.client.routing import OURS
from jobs.errors import Forbidden, InvalidInput, ProviderUnconfigured, ServiceUnavailable

if TYPE_CHECKING:
    from app.auth.caller import Caller
    from jobs.client.routing import Router
    from jobs.model.request import Target

_PROVIDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": ("azure-openai", "openai"),
    "gemini": ("gemini", "imagen"),
    "comfyui": ("comfyui",),
    "automatic1111": ("automatic1111",),
    "": ("azure-openai", "openai", "gemini", "imagen", "comfyui", "automatic1111"),
}
_GEMINI_METHODS: Final[Mapping[str, tuple[str, ...]]] = {"predict": ("imagen",), "generateContent": ("gemini",)}


class Model(Struct, frozen=True):
    """A model that may be asked for."""

    id: str
    name: str


class Engine(Struct, frozen=True):
    """Who makes the pictures: Open WebUI's name for it, and the providers that it may be, the first first."""

    name: str
    providers: tuple[str, ...]


def engine(config: ImagesConfig, name: str) -> Engine:
    """The engine of that name; without a name, every provider."""
    found = _PROVIDERS[name]
    if name == "gemini":
        found = _GEMINI_METHODS.get(config.images_gemini_endpoint_method, found)
    return Engine(name, found)


async def targets(
    request: AnyRequest, caller: Caller, chosen: Engine, asked: str | None, configured: str
) -> tuple[Target, ...]:
    """Where a request goes. Only a model that it asks for itself may lead to another engine than the configured one.

    Raises `InvalidInput`, `Forbidden`, `ServiceUnavailable`.
    """
    router = services(request).router
    name = asked or configured or await _default(request, caller, chosen)
    return permitted_targets(caller, name, _leading(router, chosen, _plain(name), elsewhere=bool(asked)))


async def models(request: AnyRequest, caller: Caller, chosen: Engine) -> list[Model]:
    """The models of an engine that the caller may ask for. Raises `ServiceUnavailable` when its server does not say."""
    return [*_listed(request, caller, chosen), *await _on_servers(request, caller, chosen)]


def _listed(request: AnyRequest, caller: Caller, chosen: Engine) -> list[Model]:
    """Names of the deployment's own, then those of the catalog in its order."""
    router = services(request).router
    families = services(request).catalog.families
    order = list(dict.fromkeys(name for family in families for name in family.names))
    names = [offered.id for offered in router.names() if offered.owned_by in {OURS, *chosen.providers}]
    names.sort(key=lambda name: order.index(name) if name in order else -1)
    return [Model(name, name) for name in names if _may(caller, router, chosen, name)]


async def _on_servers(request: AnyRequest, caller: Caller, chosen: Engine) -> list[Model]:
    """What the servers of the engine have on disk; among every provider's, by the name that leads to its server."""
    router = services(request).router
    found: list[Model] = []
    for provider in (p for p in chosen.providers if p in SERVERS and _is_there(router, p)):
        try:
            on_disk = await services(request).engines.models(provider)
        except ServiceUnavailable:
            if chosen.name:
                raise
            continue
        fit = [model for model in on_disk if MODEL_NAME.fullmatch(_plain(model.id))]
        found += [Model(m.id if chosen.name else f"{provider}/{_plain(m.id)}", m.name) for m in fit]
    return [model for model in found if _may(caller, router, chosen, model.id)]


def _leading(router: Router, chosen: Engine, name: str, *, elsewhere: bool = True) -> tuple[Target, ...]:
    """The engine's own; but a provider's with its model, and a route's, are as they say.

    `elsewhere`: what only another engine lists is that one's.
    """
    owner = {offered.id: offered.owned_by for offered in router.names()}.get(name)
    if "/" in name or not chosen.name or owner == OURS or (owner and elsewhere and owner not in chosen.providers):
        return router.targets(name)
    if owner in chosen.providers:
        return router.targets(name, owner)
    try:
        known = router.targets(name)
    except (InvalidInput, ServiceUnavailable):
        known = ()
    if known and known[0].provider in chosen.providers:
        return known
    return _first_configured(router, chosen.providers, name)


def _first_configured(router: Router, providers: Sequence[str], name: str) -> tuple[Target, ...]:
    missing: ProviderUnconfigured | None = None
    for provider in providers:
        try:
            return router.targets(name, provider)
        except ProviderUnconfigured as error:
            missing = missing or error
    raise missing or InvalidInput("there is no such model here", field="model", reason="model_not_found")


async def _default(request: AnyRequest, caller: Caller, chosen: Engine) -> str:
    """The first model that the engine has."""
    found = _listed(request, caller, chosen) or await _on_servers(request, caller, chosen)
    if not found:
        message = f"no model is set, and {chosen.name or 'the gateway'} lists none: IMAGE_GENERATION_MODEL names one"
        raise InvalidInput(message, field="model")
    return found[0].id


def _plain(name: str) -> str:
    """Automatic1111's titles end with a hash: `name.safetensors [6ce0161689]`."""
    return name.partition(" [")[0]


def _is_there(router: Router, provider: str) -> bool:
    try:
        return bool(router.targets("any", provider))
    except (InvalidInput, ServiceUnavailable):
        return False


def _may(caller: Caller, router: Router, chosen: Engine, name: str) -> bool:
    try:
        return bool(permitted_targets(caller, name, _leading(router, chosen, _plain(name))))
    except (Forbidden, InvalidInput, ServiceUnavailable):
        return False
