"""Small records beside the job, on a real Redis."""

import asyncio
import time

import pytest
from msgspec import Struct
from msgspec.structs import replace
from redis.asyncio import Redis

from jobs.errors import ServiceUnavailable
from jobs.ids import new_id
from jobs.store.records import Records
from tests.neighbours import free_port

pytestmark = pytest.mark.anyio
PREFIX = "{test}:"


class Note(Struct, frozen=True, kw_only=True):
    id: str
    org: str
    text: str = ""
    count: int = 0
    names: dict[str, int | None] = {}


@pytest.fixture
def notes(redis):
    return Records(redis, PREFIX, "note", Note, lambda note: note.names)


def note(org="acme", **fields):
    return Note(id=new_id("note"), org=org, **fields)


async def test_a_record_is_its_orgs_alone(notes):
    kept = note(text="grüße")

    await notes.put(kept)

    assert await notes.get("acme", kept.id) == kept
    assert await notes.get("rival", kept.id) is None
    assert await notes.find(kept.id) == kept
    assert await notes.get("acme", new_id("note")) is None
    assert await notes.update("rival", kept.id, lambda n: replace(n, text="mine now")) is None
    assert await notes.delete("rival", kept.id) is False
    assert await notes.get("acme", kept.id) == kept


async def test_every_key_begins_with_the_prefix(notes, redis):
    await notes.put(note(names={"a": None}))

    assert {k.decode().startswith(PREFIX) for k in await redis.keys("*")} == {True}


async def test_pages_go_from_the_newest_to_the_oldest_and_end(notes):
    kept = []
    for _ in range(7):
        kept.append(note())
        await notes.put(kept[-1])
        await asyncio.sleep(0.002)
    await notes.put(note("rival"))

    first, cursor = await notes.page("acme", None, 3)
    second, cursor = await notes.page("acme", cursor, 3)
    last, end = await notes.page("acme", cursor, 3)

    assert first + second + last == kept[::-1]
    assert end is None
    assert await notes.page("nobody", None, 3) == ([], None)


async def test_of_changes_at_the_same_time_none_is_lost(notes):
    kept = note()
    await notes.put(kept)

    await asyncio.gather(*(notes.update("acme", kept.id, lambda n: replace(n, count=n.count + 1)) for _ in range(20)))

    assert (await notes.get("acme", kept.id)).count == 20


async def test_a_change_that_is_refused_changes_nothing_and_leaves_the_connection_usable(notes):
    kept = note()
    await notes.put(kept)

    def refuse(_):
        raise ValueError("no")

    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            await notes.update("acme", kept.id, refuse)
    assert (await notes.update("acme", kept.id, lambda n: replace(n, count=1))).count == 1


async def test_a_record_is_found_by_its_names_as_long_as_they_are_its_own(notes):
    soon = time.time_ns() // 1_000_000 + 1_000
    kept = note(names={"lasting": None, "passing": soon})
    await notes.put(kept)

    assert [await notes.named(n) for n in ("lasting", "passing", "other")] == [kept.id, kept.id, None]
    await asyncio.sleep(1.1)
    assert await notes.named("passing") is None
    await notes.update("acme", kept.id, lambda n: replace(n, names={"new": None, "passing": soon}))
    assert [await notes.named(n) for n in ("lasting", "passing", "new")] == [None, None, kept.id]


async def test_a_deleted_record_leaves_nothing(notes, redis):
    kept = note(names={"a": None, "b": None})
    await notes.put(kept)

    assert await notes.delete("acme", kept.id) is True

    assert await redis.keys("*") == []
    assert await notes.delete("acme", kept.id) is False


async def test_a_redis_that_does_not_answer_is_503():
    async with Redis(port=free_port()) as nobody:
        with pytest.raises(ServiceUnavailable):
            await Records(nobody, PREFIX, "note", Note).get("acme", "note_1")
