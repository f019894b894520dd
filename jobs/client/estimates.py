"""How long jobs are likely to take, by what was measured: told when they are read, never stored, never a version."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from jobs.errors import ServiceUnavailable
from jobs.model.account import Account, Accounts, accounts_of
from jobs.model.job import Job, Phase, Status
from jobs.model.json import progress_json
from jobs.model.times import now_ms

if TYPE_CHECKING:
    from jobs.catalog.families import Catalog
    from jobs.store.position import QueuePosition
    from jobs.store.stats import Stats

PositionOf = Callable[[Job, Sequence[Account]], Awaitable["QueuePosition"]]

ENOUGH: Final = 5
"""Measured calls from which times are told instead of the catalog's."""
HALF_LIFE: Final = 10
"""A call weighs half as much as the one that ended so many calls after it: a provider's slowing down is soon told."""
FRESH_SECONDS: Final = 5.0
"""How old what was measured may be: polls of running jobs cost Redis no command for it."""
MAX_MODELS: Final = 1_000
"""Models whose times a process remembers."""
MAX_DONE: Final = 0.95
"""What an estimate comes near to and never passes: only the provider knows when it is done."""
STEEPNESS: Final = 1.5
"""How fast it does: a call that has taken its typical time is told as about 0.74."""


class Percentiles(Struct, frozen=True):
    """Seconds within which half, and nine of ten, are over."""

    p50: float
    p90: float


class Queued(Struct, frozen=True):
    """Where a queued job stands, and the seconds until it is likely to start; None: nobody serves it just now."""

    position: QueuePosition
    start: Percentiles | None


class Estimates:
    """Estimates of starts and ends. `accounts`: those of providers that have several, or a limit.

    `position_of` says where a job stands, given the accounts of its provider (`store.position.queue_position`).
    """

    def __init__(self, *, stats: Stats, position_of: PositionOf, catalog: Catalog, accounts: Accounts) -> None:
        self._stats = stats
        self._position_of = position_of
        self._catalog = catalog
        self._accounts = accounts
        self._measured: dict[tuple[str, str], tuple[float, Percentiles | None]] = {}

    async def typical(self, provider: str, model: str) -> Percentiles:
        """How long a call takes: by the model's last good calls, or by the catalog while they are few."""
        looked, found = self._measured.get((provider, model), (-math.inf, None))
        if time.monotonic() - looked > FRESH_SECONDS:
            found = measured(await self._stats.took(provider, model))
            if len(self._measured) >= MAX_MODELS:  # deployments have any name: those in use are soon known again
                self._measured.clear()
            self._measured[provider, model] = (time.monotonic(), found)
        return found or self._listed(provider, model)

    async def queued(self, job: Job) -> Queued:
        """Where a queued job stands, or one that is not made would. Raises `ServiceUnavailable`."""
        provider = job.request.provider
        position = await self._position_of(job, accounts_of(self._accounts, provider))
        typical = await self.typical(provider, job.request.model)
        backing_off_ms = max(0, (job.not_before_ms or 0) - now_ms())
        return Queued(position, start(position, typical, (backing_off_ms + position.shut_ms) / 1000))

    async def live_fields(self, job: Job) -> dict[str, Any]:
        """`progress` as it is just now, and of a queued job its `queue` and, where it is held back, its `phase`.

        With Redis out of reach it is what the record says: nobody's answer fails for an estimate.
        """
        with contextlib.suppress(ServiceUnavailable):
            if job.status is Status.QUEUED:
                return await self._queue_fields(job)
            if job.status is Status.RUNNING:
                return {"progress": await self._under_way(job)}
        return {"progress": progress_json(job)}

    async def progress(self, job: Job) -> dict[str, Any]:
        """How far the job is just now: `{value, source, step?, steps?, estimatedFinishSeconds?}`."""
        progress: dict[str, Any] = (await self.live_fields(job))["progress"]
        return progress

    def retry_after(self, job: Job) -> int:
        """Seconds after which it is worth asking again: the rest of the model's own typical time, 1 to 30.

        By what this process has last heard of the model's calls, however old it is.
        """
        provider, model = job.request.provider, job.request.model
        _, found = self._measured.get((provider, model), (0.0, None))
        typical = found or self._listed(provider, model)
        begun = job.started_ms or now_ms()
        return max(1, min(30, round(typical.p50 - (now_ms() - begun) / 1000)))

    def _listed(self, provider: str, model: str) -> Percentiles:
        family = self._catalog.family(provider, model)
        return Percentiles(family.p50_seconds, family.p90_seconds)

    async def _queue_fields(self, job: Job) -> dict[str, Any]:
        queued = await self.queued(job)
        progress: dict[str, Any] = {"value": 0.0, "source": "none"}
        if queued.position.taken:
            return {"progress": progress}
        if queued.start is not None:
            typical = await self.typical(job.request.provider, job.request.model)
            progress["estimatedFinishSeconds"] = round(queued.start.p50 + typical.p50, 2)
        held_back = job.phase is Phase.QUEUED and queued.position.throttled
        return {
            **({"phase": str(Phase.THROTTLED)} if held_back else {}),
            "queue": queue_json(queued),
            "progress": progress,
        }

    async def _under_way(self, job: Job) -> dict[str, Any]:
        typical = await self.typical(job.request.provider, job.request.model)
        elapsed = _elapsed(job)
        if job.progress is None:
            shown = {"value": round(done(elapsed, typical), 3), "source": "estimated"}
        else:
            shown = progress_json(job)
        left = _left(job, elapsed, typical)
        return shown if left is None else {**shown, "estimatedFinishSeconds": round(left, 2)}


def measured(took_ms: Sequence[int]) -> Percentiles | None:
    """What the last good calls took, in milliseconds each, the newest first; None: too few to say.

    Each percentile is the least of them that, with all that took less, has that share of the weight.
    """
    if len(took_ms) < ENOUGH:
        return None
    weighed = sorted((took, 0.5 ** (age / HALF_LIFE)) for age, took in enumerate(took_ms))
    sums = list(itertools.accumulate(weight for _, weight in weighed))
    p50, p90 = (weighed[bisect.bisect_left(sums, share * sums[-1])][0] / 1000 for share in (0.5, 0.9))
    return Percentiles(p50, p90)


def start(position: QueuePosition, typical: Percentiles, held_seconds: float) -> Percentiles | None:
    """Seconds until a job starts that stands there: `held_seconds + ends * typical / serving`.

    `ends` is how many jobs have to end first: itself and those ahead, less what is free. `serving` is the least of the
    living slots, its org's `maxRunning` and its provider's limit; slots of which none is free are shared by the orgs
    that wait. `held_seconds` is the rest of its backing off and of its provider's open breaker.
    """
    bounds: list[tuple[float, int]] = [(position.slots, position.running)]
    for most, running in (
        (position.org_limit, position.org_running),
        (position.provider_limit, position.provider_running),
    ):
        if most is not None:
            bounds.append((most, running))
    free = max(0.0, min(most - running for most, running in bounds))
    if position.running >= position.slots:
        bounds.append((position.slots / max(1, position.orgs), 0))
    serving = min(most for most, _ in bounds)
    if not serving:
        return None
    rounds = max(0.0, position.ahead + 1 - free) / serving
    return Percentiles(held_seconds + rounds * typical.p50, held_seconds + rounds * typical.p90)


def done(elapsed: float, typical: Percentiles) -> float:
    """The share of a call that is likely to be done after `elapsed` seconds: it grows ever slower, and never ends."""
    return MAX_DONE * (1 - math.exp(-STEEPNESS * elapsed / max(typical.p50, 0.001)))


def queue_json(queued: Queued) -> dict[str, Any]:
    """`{position, ahead, estimatedStartSeconds?}`; the first in line has the position 1."""
    ahead, begins = queued.position.ahead, queued.start
    shown: dict[str, Any] = {"position": ahead + 1, "ahead": ahead}
    if begins is not None:
        shown["estimatedStartSeconds"] = seconds_json(begins)
    return shown


def seconds_json(typical: Percentiles) -> dict[str, float]:
    """`{p50, p90}` in seconds."""
    return {"p50": round(typical.p50, 2), "p90": round(typical.p90, 2)}


def _elapsed(job: Job) -> float:
    """Seconds since the newest call began; 0 before it has."""
    if job.phase is Phase.DISPATCHING or not job.attempts:
        return 0.0
    return max(0, now_ms() - job.attempts[-1].started_ms) / 1000


def _left(job: Job, elapsed: float, typical: Percentiles) -> float | None:
    """Seconds until the end, by the provider's own pace where it tells; None: it takes longer than nine of ten do."""
    if job.progress is not None and job.progress.value > 0:
        return elapsed * (1 - job.progress.value) / job.progress.value
    return next((seconds - elapsed for seconds in (typical.p50, typical.p90) if elapsed < seconds), None)
