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
from jobs.model.account import limit_of
from jobs.model.json import present
from jobs.webhooks.news import trouble_json

if TYPE_CHECKING:
    from jobs.client.overview import AccountOverview, ProviderOverview


@get("/api/v1/providers", opt={"result": "providers"})
async def list_providers(request: AnyRequest) -> Response[bytes]:
    """Each provider: whether it is configured, its circuit breaker, what runs, how long its calls take.

    `trouble` is what only the gateway's operator can mend. Where a provider has several accounts, each is told of, and
    the provider's own breaker and rate limit are those of the one that takes calls first.
    """
    await known_caller(request, READ)
    only_query(request)
    providers = await services(request).overview.providers()
    return answer({"object": "list", "providers": [_provider_json(provider) for provider in providers]})


def _provider_json(provider: ProviderOverview) -> dict[str, Any]:
    accounts = provider.accounts
    shown: dict[str, Any] = {
        "id": provider.name,
        "configured": provider.missing is None,
        "simulated": provider.simulated,
        **_account_json(provider.best),
        "running": sum(each.health.running for each in accounts),
        "limit": limit_of(accounts),
    }
    if provider.missing is not None:
        shown["missing"] = provider.missing
    if provider.seconds is not None:
        shown["seconds"] = seconds_json(provider.seconds)
    if accounts[0].name != provider.name:
        shown["accounts"] = [{"id": each.name, **_account_json(each)} for each in accounts]
    return shown


def _account_json(account: AccountOverview) -> dict[str, Any]:
    health = account.health
    return present(
        breaker=_breaker_json(account),
        running=health.running,
        rateLimit=_rate_limit_json(account) if health.calls_per_second is not None or health.paused_ms else None,
        trouble=trouble_json(account.trouble) if account.trouble is not None else None,
    ) | {"limit": account.limit}


def _rate_limit_json(account: AccountOverview) -> dict[str, Any]:
    health = account.health
    rate = health.calls_per_second
    return present(
        callsPerSecond=None if rate is None else round(rate, 3),
        retryAfterSeconds=-(-health.paused_ms // 1000) or None,
    )


def _breaker_json(account: AccountOverview) -> dict[str, Any]:
    health = account.health
    if not health.shut_ms:
        return {"state": health.breaker}
    return {"state": health.breaker, "retryAfterSeconds": -(-health.shut_ms // 1000)}


handlers: Final = (list_providers,)
