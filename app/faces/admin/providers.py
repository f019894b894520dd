"""`/api/v1/providers`: which can be asked, and how they do just now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar import Response, get

from app.auth.caller import READ
from app.http.caller import known_caller
from app.http.problems import answer
from app.http.query import only_query
from app.services import AnyRequest, services
from jobs.client.estimates import measured, seconds_json

if TYPE_CHECKING:
    from jobs.settings import Settings
    from jobs.store.breaker import Health


@get("/api/v1/providers", opt={"result": "providers"})
async def list_providers(request: AnyRequest) -> Response[bytes]:
    """Each provider: whether it is configured, its circuit breaker, what runs, and how long its calls take."""
    await known_caller(request, READ)
    only_query(request)
    jobs = services(request).jobs
    settings = services(request).settings
    shown = [_shown(name, played, health, settings) for name, played, health in await jobs.providers()]
    return answer({"object": "list", "providers": shown})


def _shown(name: str, played: str, health: Health, settings: Settings) -> dict[str, Any]:
    configured = played in {"configured", "simulated"}
    breaker: dict[str, Any] = {"state": health.breaker}
    if health.shut_ms:
        breaker["retryAfterSeconds"] = -(-health.shut_ms // 1000)
    shown: dict[str, Any] = {
        "id": name,
        "configured": configured,
        "simulated": played == "simulated",
        "breaker": breaker,
        "running": health.running,
        "limit": settings.provider_concurrency.get(name),
    }
    if not configured:
        shown["missing"] = played
    typical = measured(health.took_ms)
    if typical is not None:
        shown["seconds"] = seconds_json(typical)
    return shown


handlers: Final = (list_providers,)
