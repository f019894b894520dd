"""Small records of an org beside its jobs (keys, endpoints, agents, …): kept as JSON in Redis, listed newest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec
from redis.exceptions import WatchError

from jobs.redis.connection import translate_redis_errors
from jobs.redis.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Record(Protocol):
    """What a record needs to be kept: an id that sorts by time (`ids.new_id`), and whose it is."""

    @property
    def id(self) -> str:
        """Unguessable, and unlike every other."""
        ...

    @property
    def org(self) -> str:
        """Whose record it is; it never changes."""
        ...


R = TypeVar("R", bound=Record)


class Records(Generic[R]):
    """Records of one `kind`. Raises `ServiceUnavailable` while Redis is out of reach.

    `names` says by which further names a record can be found, and until when (Unix milliseconds; None: always).
    `lasting` says until when the record itself is kept.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # what makes a kind of record
        self,
        redis: Redis,
        prefix: str,
        kind: str,
        form: type[R],
        names: Callable[[R], Mapping[str, int | None]] = lambda _: {},
        lasting: Callable[[R], int | None] = lambda _: None,
    ) -> None:
        self._redis = redis
        self._kind = kind
        self._keys = Keys(prefix)
        self._decoder = msgspec.json.Decoder(form)
        self._names = names
        self._lasting = lasting

    async def put(self, record: R) -> None:
        """Keep a new record."""
        with translate_redis_errors():
            async with self._redis.pipeline() as pipe:
                self._write(pipe, record, {})
                await pipe.execute()

    async def add(self, record: R) -> str | None:
        """Keep a new record, unless one of its names is taken: then the id of the record that has it."""
        names = [self._keys.record_named(self._kind, n) for n in self._names(record)]
        with translate_redis_errors():
            async with self._redis.pipeline() as pipe:
                while True:
                    if names:
                        await pipe.watch(*names)
                        taken = [found for found in await pipe.mget(names) if found is not None]
                        if taken:
                            return str(taken[0].decode())
                        pipe.multi()  # type: ignore[no-untyped-call]  # redis-py gives it no types
                    self._write(pipe, record, {})
                    try:
                        await pipe.execute()
                    except WatchError:
                        continue
                    return None

    async def get(self, org: str, record_id: str) -> R | None:
        """The org's record, None for another org's."""
        record = await self.find(record_id)
        return record if record is not None and record.org == org else None

    async def find(self, record_id: str) -> R | None:
        """The record, whosever it is: not for callers."""
        with translate_redis_errors():
            return self._read(await self._redis.get(self._keys.record(self._kind, record_id)))

    async def named(self, name: str) -> str | None:
        """The id of the record that has this name, whosever it is."""
        with translate_redis_errors():
            found: bytes | None = await self._redis.get(self._keys.record_named(self._kind, name))
        return None if found is None else found.decode()

    async def page(
        self, org: str, after: str | None, limit: int, *, before: str | None = None, oldest_first: bool = False
    ) -> tuple[list[R], str | None]:
        """The org's records beyond the id `after`, newest first, and the id to go on from (None at the end).

        `before`: where the page ends at the latest, in the same order.
        """
        start, stop = f"({after}" if after else "", f"({before}" if before else ""
        with translate_redis_errors():
            index = self._keys.records_of_org(self._kind, org)
            if oldest_first:
                found = await self._redis.zrangebylex(index, start or "-", stop or "+", 0, limit)
            else:
                found = await self._redis.zrevrangebylex(index, start or "+", stop or "-", 0, limit)
            ids = [i.decode() for i in found]
            documents = await self._redis.mget([self._keys.record(self._kind, i) for i in ids]) if ids else []
            gone = [i for i, document in zip(ids, documents, strict=True) if document is None]
            if gone:
                await self._redis.zrem(index, *gone)
                await self._redis.zrem(self._keys.index_ends, *(self._index_entry(org, i) for i in gone))
        records = [record for record in map(self._read, documents) if record is not None]
        return records, ids[-1] if len(ids) == limit else None

    async def update(self, org: str, record_id: str, change: Callable[[R], R]) -> R | None:
        """Replace a record by what `change` makes of it: of changes at the same time none is lost. None: no such."""
        key = self._keys.record(self._kind, record_id)
        with translate_redis_errors():
            async with self._redis.pipeline() as pipe:
                while True:
                    await pipe.watch(key)
                    before = self._read(await pipe.get(key))
                    if before is None or before.org != org:
                        return None
                    after = change(before)
                    pipe.multi()  # type: ignore[no-untyped-call]  # redis-py gives it no types
                    self._write(pipe, after, self._names(before))
                    try:
                        await pipe.execute()
                    except WatchError:
                        continue
                    return after

    async def delete(self, org: str, record_id: str) -> bool:
        """Forget a record and its names; False when the org has none of that id."""
        record = await self.get(org, record_id)
        if record is None:
            return False
        with translate_redis_errors():
            async with self._redis.pipeline() as pipe:
                pipe.zrem(self._keys.records_of_org(self._kind, org), record_id)
                names = (self._keys.record_named(self._kind, name) for name in self._names(record))
                pipe.delete(self._keys.record(self._kind, record_id), *names)
                await pipe.execute()
        return True

    def _write(self, pipe: Any, record: R, before: Mapping[str, int | None]) -> None:
        names = self._names(record)
        until_ms = self._lasting(record)
        pipe.set(self._keys.record(self._kind, record.id), msgspec.json.encode(record), pxat=until_ms)
        pipe.zadd(self._keys.records_of_org(self._kind, record.org), {record.id: 0})
        if until_ms is not None:
            pipe.zadd(self._keys.index_ends, {self._index_entry(record.org, record.id): until_ms})
        for name, name_until_ms in names.items():
            pipe.set(self._keys.record_named(self._kind, name), record.id, pxat=name_until_ms)
        for name in before.keys() - names.keys():
            pipe.delete(self._keys.record_named(self._kind, name))

    def _index_entry(self, org: str, record_id: str) -> str:
        """As `lua/include/index.lua` spells it."""
        return f"{self._kind} {record_id} {org}"

    def _read(self, document: bytes | None) -> R | None:
        return None if document is None else self._decoder.decode(document)
