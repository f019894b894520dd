"""What a batch needs of its record, on a real Redis: one of equal names, and an end."""

import asyncio

import pytest
from msgspec import Struct
from msgspec.structs import replace

from jobs.ids import new_id
from jobs.model.times import now_ms
from jobs.store.records import Records

pytestmark = pytest.mark.anyio


class Note(Struct, frozen=True, kw_only=True):
    id: str
    org: str = "acme"
    name: str | None = None
    until_ms: int | None = None


@pytest.fixture
def notes(redis):

    def names(note):
        return {} if note.name is None else {note.name: note.until_ms}

    return Records(redis, "{test}:", "note", Note, names, lambda note: note.until_ms)


async def test_of_records_that_are_added_under_one_name_at_once_one_is_kept(notes):
    asked = [Note(id=new_id("note"), name="first") for _ in range(10)]

    told = await asyncio.gather(*(notes.add(note) for note in asked))

    kept = [note for note, taken in zip(asked, told, strict=True) if taken is None]
    assert len(kept) == 1
    assert {taken for taken in told if taken is not None} == {kept[0].id}
    assert await notes.page("acme", None, 100) == (kept, None)
    assert await notes.named("first") == kept[0].id


async def test_records_without_a_name_are_all_kept(notes):
    asked = [Note(id=new_id("note")) for _ in range(5)]

    told = [await notes.add(note) for note in asked]

    assert told == [None] * 5
    assert {note.id for note in (await notes.page("acme", None, 100))[0]} == {note.id for note in asked}


async def test_a_record_its_name_and_its_place_in_the_list_end_with_its_time(notes, redis):
    note = Note(id=new_id("note"), name="brief", until_ms=now_ms() + 1_000)
    await notes.add(note)
    await notes.update("acme", note.id, lambda n: replace(n, org="acme"))  # a change leaves the time as it is

    await asyncio.sleep(1.1)

    assert await notes.find(note.id) is None
    assert await notes.page("acme", None, 100) == ([], None)
    assert await redis.keys("*") == []
    assert await notes.add(note) is None
