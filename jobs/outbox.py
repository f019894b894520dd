"""Where deliveries wait: a queue an address in Redis, each row leased to the courier that posts it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from jobs.reachable import reachable
from jobs.webhook import Delivery

if TYPE_CHECKING:
    from redis.asyncio import Redis

KEPT_MS: Final = 14 * 86_400_000
"""How long a delivery is kept after its end."""


class Due(Struct, frozen=True):
    """Deliveries to be posted now, and the milliseconds until the next (None: none waits)."""

    deliveries: tuple[Delivery, ...]
    next_in_ms: int | None


class Outbox:
    """The rows that `RedisJobStore` commits with each move. Raises `ServiceUnavailable` while Redis is away."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self.prefix = prefix
        self._scripts = {name: redis.register_script(_source(name)) for name in ("post", "posted")}

    async def due(self, most: int, lease_ms: int, room: int, under_way: Mapping[str, int]) -> Due:
        """Lease at most `most` rows that are due; no address gets more than `room`, less what is `under_way` to it."""
        busy = [part for address, count in under_way.items() for part in (address, count)]
        now, later, rows = await self._run("post", most, lease_ms, room, *busy)
        found = tuple(_decoder.decode(row) for row in rows)
        return Due(found, max(0, int(float(later)) - now) if later else None)

    async def settle(self, before: Delivery, after: Delivery, pause_ms: int) -> bool:
        """Write what came of an attempt; False when another courier wrote first."""
        ended = after.state != "pending"
        return bool(
            await self._run(
                "posted",
                after.id,
                address(after.url),
                len(before.attempts),
                len(after.attempts),
                _encoder.encode(after),
                -1 if ended else pause_ms,
                KEPT_MS,
            )
        )

    async def of_job(self, job_id: str) -> tuple[Delivery, ...]:
        """Every delivery of a job, oldest first."""
        with reachable():
            ids = await self._redis.lrange(f"{self.prefix}deliveries:{job_id}", 0, -1)  # type: ignore[misc]  # redis-py types both clients as one
            pipe = self._redis.pipeline(transaction=False)
            for delivery_id in ids:
                pipe.hget(f"{self.prefix}delivery:{delivery_id.decode()}", "doc")
            rows = await pipe.execute() if ids else []
        return tuple(_decoder.decode(row) for row in rows if row is not None)

    async def _run(self, name: str, *args: Any) -> Any:
        with reachable():
            return await self._scripts[name](args=[self.prefix, *args])


def rows(deliveries: tuple[Delivery, ...]) -> list[str | bytes]:
    """Deliveries as the scripts of the job store take them: id, address, document, and so on."""
    return [part for d in deliveries for part in (d.id, address(d.url), _encoder.encode(d))]


def address(url: str) -> str:
    """Whose queue a delivery waits in: scheme, host and port, so that a dead receiver holds up itself alone."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}".lower()


def _source(name: str) -> str:
    folder = files("jobs") / "lua"
    return (folder / "shared.lua").read_text() + (folder / f"{name}.lua").read_text()


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Delivery)
