"""What operators see of the whole: whether it can serve, the queue in numbers, and each provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from jobs.client.estimates import Percentiles, measured
from jobs.providers import PROVIDERS

if TYPE_CHECKING:
    from jobs.blobs.store import BlobStore
    from jobs.settings import Settings
    from jobs.store.breaker import Breaker
    from jobs.store.jobs import RedisJobStore
    from jobs.store.stats import Stats
    from jobs.store.troubles import Trouble, Troubles


class ProviderOverview(Struct, frozen=True, kw_only=True):
    """A provider as all workers see it. `missing` names the variable without which it is not configured."""

    name: str
    missing: str | None
    simulated: bool
    breaker: str
    """`closed`, `open`, or `half_open` while one job tries it out."""
    shut_ms: int
    """How long the breaker stays open."""
    running: int
    """Calls that are open."""
    limit: int | None
    """How many may be; None: as many as there are jobs."""
    calls_per_second: float | None
    """How often it is called at the most, learnt from its refusals; None: as often as jobs come."""
    paused_ms: int
    """How long it gets no call, by its own word or its pace."""
    seconds: Percentiles | None
    """How long its calls take; None: too few have been measured."""
    trouble: Trouble | None
    """What only the operator can mend, if it has not been mended since."""


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
        settings: Settings,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._stats = stats
        self._breaker = breaker
        self._troubles = troubles
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
        health, missing = await self._breaker.health(name), PROVIDERS[name].missing(self._settings)
        return ProviderOverview(
            name=name,
            missing=missing,
            simulated=missing is None and name in self._settings.simulated,
            breaker=health.breaker,
            shut_ms=health.shut_ms,
            running=health.running,
            limit=self._settings.provider_concurrency.get(name),
            calls_per_second=health.calls_per_second,
            paused_ms=health.paused_ms,
            seconds=measured(health.took_ms),
            trouble=await self._troubles.of(name),
        )
