"""What operators see of the whole: whether it can serve, the queue in numbers, and each provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from jobs.client.estimates import Percentiles, measured
from jobs.model.account import Account, Accounts, accounts_of
from jobs.providers import PROVIDERS, missing

if TYPE_CHECKING:
    from jobs.blobs.store import BlobStore
    from jobs.settings import Settings
    from jobs.store.breaker import Breaker, Health
    from jobs.store.jobs import RedisJobStore
    from jobs.store.stats import Stats
    from jobs.store.troubles import Trouble, Troubles


class AccountOverview(Struct, frozen=True, kw_only=True):
    """An account of a provider as all workers see it."""

    name: str
    health: Health
    limit: int | None
    """How many calls may be open; None: as many as there are jobs."""
    trouble: Trouble | None
    """What only the operator can mend, if it has not been mended since."""


class ProviderOverview(Struct, frozen=True, kw_only=True):
    """A provider as all workers see it. `missing` names the variable without which it is not configured."""

    name: str
    missing: str | None
    simulated: bool
    accounts: tuple[AccountOverview, ...]
    """At least one; where it is the only one, mostly of the provider's own name."""
    seconds: Percentiles | None
    """How long its calls take; None: too few have been measured."""

    @property
    def best(self) -> AccountOverview:
        """The account that is called first, or is the first to be called again."""
        return min(self.accounts, key=lambda each: (each.health.shut_ms, each.health.paused_ms))


class Overview:
    """Reads it. Raises only `errors.DarkroomError`."""

    def __init__(  # noqa: PLR0913  # the composition root hands over each part by name
        self,
        *,
        store: RedisJobStore,
        blobs: BlobStore,
        stats: Stats,
        breaker: Breaker,
        troubles: Troubles,
        accounts: Accounts,
        settings: Settings,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._stats = stats
        self._breaker = breaker
        self._troubles = troubles
        self._accounts = accounts
        self._settings = settings

    async def ready(self) -> None:
        """Whether the job store and the blob store answer; raises what keeps them from it."""
        await self._store.ready()
        await self._blobs.ready()

    async def workers(self) -> int:
        """How many workers live."""
        return await self._stats.workers()

    async def counts(self) -> dict[str, int]:
        """The queue in numbers."""
        return await self._stats.counts()

    async def providers(self) -> list[ProviderOverview]:
        """Every provider."""
        return [await self._provider(name) for name in PROVIDERS]

    async def _provider(self, name: str) -> ProviderOverview:
        gap = missing(name, self._settings)
        accounts = [await self._account(name, each) for each in accounts_of(self._accounts, name)]
        return ProviderOverview(
            name=name,
            missing=gap,
            simulated=gap is None and name in self._settings.simulated,
            accounts=tuple(accounts),
            seconds=measured(accounts[0].health.took_ms),
        )

    async def _account(self, provider: str, account: Account) -> AccountOverview:
        return AccountOverview(
            name=account.name,
            health=await self._breaker.health(provider, account.name),
            limit=account.limit,
            trouble=await self._troubles.of(account.name),
        )
