"""`/api/v1/providers`: which can be asked, and how they do just now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar import Response, get

from app.auth.caller import READ
from app.http.caller import known_caller
from app.http.problems import answer
from app.http.query import only_query
from app.services import AnyRequest, services
from jobs.client.estimates import seconds_json
from jobs.model.json import present
from jobs.webhooks.news import trouble_json

if TYPE_CHECKING:
    from jobs.client.overview import ProviderOverview


@get("/api/v1/providers", opt={"result": "providers"})
async def list_providers(request: AnyRequest) -> Response[bytes]:
    """Each provider: whether it is configured, its circuit breaker, what runs, how long its calls take.

    `trouble` is what only the gateway's operator can mend.
    """
    await known_caller(request, READ)
    only_query(request)
    providers = await services(request).overview.providers()
    return answer({"object": "list", "providers": [_provider_json(provider) for provider in providers]})


def _provider_json(provider: ProviderOverview) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": provider.name,
        "configured": provider.missing is None,
        "simulated": provider.simulated,
        "breaker": _breaker_json(provider),
        "running": provider.running,
        "limit": provider.limit,
    }
    if provider.missing is not None:
        shown["missing"] = provider.missing
    if provider.calls_per_second is not None or provider.paused_ms:
        shown["rateLimit"] = _rate_limit_json(provider)
    if provider.trouble is not None:
        shown["trouble"] = trouble_json(provider.trouble)
    if provider.seconds is not None:
        shown["seconds"] = seconds_json(provider.seconds)
    return shown


def _rate_limit_json(provider: ProviderOverview) -> dict[str, Any]:
    rate = provider.calls_per_second
    return present(
        callsPerSecond=None if rate is None else round(rate, 3),
        retryAfterSeconds=-(-provider.paused_ms // 1000) or None,
    )


def _breaker_json(provider: ProviderOverview) -> dict[str, Any]:
    if not provider.shut_ms:
        return {"state": provider.breaker}
    return {"state": provider.breaker, "retryAfterSeconds": -(-provider.shut_ms // 1000)}


handlers: Final = (list_providers,)
