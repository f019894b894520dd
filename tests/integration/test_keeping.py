"""Paid pictures on a real Redis, a real folder and a real disk: none leaves a place before it is in the next."""

import asyncio
import hashlib
import sys

import pytest

from app.simulator.draw import draw
from jobs.blobs.expiry import BlobExpiry
from jobs.blobs.local import LocalBlobs
from jobs.blobs.spool import Spool
from jobs.blobs.store import BlobStoreDown
from jobs.catalog.families import Catalog
from jobs.errors import ServiceUnavailable
from jobs.model import ledger, moves
from jobs.model.job import Status
from jobs.model.picture import Picture
from jobs.model.request import ImageRequest
from jobs.model.times import now_ms
from jobs.pictures.convert import converted
from jobs.pictures.decoding import Decoder
from jobs.pictures.names import stem_of
from jobs.redis.fields import JobField
from jobs.redis.keys import Keys
from jobs.store.jobs import RedisJobStore
from jobs.worker import results
from jobs.worker.lease import LeasedJob
from jobs.worker.output_format import Converter
from jobs.worker.results import ResultWriter
from jobs.worker.salvage import Salvager
from tests.jobs import claims_of, lose_worker, new_job

pytestmark = pytest.mark.anyio
KEYS = Keys("{test}:")

PNG, SECOND = draw("a mug", "beef", 64, 48, "png"), draw("a cup", "cafe", 64, 48, "png")
TORN = PNG[:-200]


class Store(RedisJobStore):
    """A store of whose commits the next may fail."""

    failing = 0

    async def commit(self, *args):
        if self.failing:
            self.failing -= 1
            raise ServiceUnavailable("away", reason="store_unavailable")
        return await super().commit(*args)


class Blobs(LocalBlobs):
    """A folder that takes its time, is away now and then, and tells of each picture that it is to take."""

    seconds = 0.0
    down = False

    async def put(self, *args):
        if self.down:
            raise BlobStoreDown("away", reason="blob_store_unavailable")
        await asyncio.sleep(self.seconds)
        await super().put(*args)
        await self.told()

    async def told(self):
        pass


class Parts:
    """What writes and salvages pictures, with all that it works on."""

    def __init__(self, redis, folder):
        self.store = Store(redis, "{test}:", "http://localhost")
        self.blobs = Blobs(folder, "files", "http://localhost", public=True, signing_key=bytes(32))
        self.spool = Spool(folder / "spool")
        self.expiry = BlobExpiry(redis, "{test}:", self.blobs)
        self.decoder = Decoder()
        self.writer, self.salvager = self.of_a_worker()
        _, self.other_salvager = self.of_a_worker()

    def of_a_worker(self):
        """A writer and a salvager: one of each a worker process."""
        converter = Converter(Catalog.load(None), self.decoder)
        shared = {"store": self.store, "blobs": self.blobs, "spool": self.spool, "converter": converter}
        writer = ResultWriter(**shared, expiry=self.expiry)
        return writer, Salvager(**shared, claims=claims_of(self.store), writer=writer)

    async def held(self, n=1, **asked):
        """A job with one open call of `n` pictures."""
        job = new_job(request=ImageRequest(provider="openai", model="gpt-image-2", prompt="p", n=n, **asked))
        await self.store.create(job)
        held = LeasedJob(self.store, await claims_of(self.store).claim_next("turn", "worker", 15_000))
        await held.apply(moves.start)
        await held.apply(lambda j, now: moves.intend(j, now, tuple(range(n))))
        return held

    def kept(self, held, data=PNG, index=0):
        """The picture as its worker left it on disk before it died."""
        name = f"{stem_of(held.now, 1, index)}.png"
        assert self.spool.keep(name, held.now.id, data)
        return name

    async def ended(self, held):
        """As cancelAfter ends a job whose picture is on disk."""
        await held.apply(lambda j, now: moves.spooled(j, now, 1, self.spool.name()))
        await held.apply(moves.overdue)

    async def picture(self, held, index=0):
        """Of the record: its kind; its bytes are where the record says, and what it says."""
        job = await self.store.get(held.now.id)
        (image,) = [image for image in job.images if image.index == index]
        data = await self.blobs.read(image.blob)
        assert (image.bytes, image.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        return image.media_type


@pytest.fixture
async def parts(redis, tmp_path):
    parts = Parts(redis, tmp_path)
    yield parts
    await parts.decoder.close()


async def keep(parts, held, index=0, data=PNG, call=1):
    picture = Picture(data=data, media_type="image/png", index=index)
    stored = await parts.writer.store(held, call, tuple(range(held.now.request.n)), picture)
    await parts.writer.record_stored(held, stored)
    return stored.warning


async def until(true):
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  # it is a folder and a record that are looked at
            await asyncio.sleep(0.01)


async def test_a_spool_that_fails_does_not_end_the_upload(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "SPOOL_AFTER_SECONDS", 0.05)
    held, parts.blobs.seconds = await parts.held(), 0.3
    (tmp_path / "spool" / "name").mkdir(parents=True)

    await keep(parts, held)

    assert await parts.picture(held) == "image/png"
    assert parts.spool.names() == []


async def test_a_lease_that_is_lost_while_the_bytes_go_to_disk_does_not_end_the_upload(parts, monkeypatch):
    monkeypatch.setattr(results, "SPOOL_AFTER_SECONDS", 0.05)
    held, parts.blobs.seconds = await parts.held(), 0.3
    await parts.store.redis.hincrby(KEYS.job(held.now.id), JobField.FENCE, 1)

    with pytest.raises(results.Fenced):
        await keep(parts, held)

    (name,) = parts.spool.names()  # the call is open: whoever holds the job takes it
    assert await parts.blobs.read(name) == PNG


async def test_a_picture_stays_on_disk_until_its_job_knows_of_it(parts, monkeypatch):
    monkeypatch.setattr(results, "SPOOL_AFTER_SECONDS", 0.05)
    held, parts.blobs.seconds = await parts.held(), 0.3
    monkeypatch.setattr("jobs.outage.MAX_PAUSE_SECONDS", 0.2)

    async def away():
        parts.store.failing = 2

    parts.blobs.told = away
    keeping_it = asyncio.create_task(keep(parts, held))
    await until(lambda: parts.store.failing == 1)
    on_disk = parts.spool.names()
    await keeping_it

    assert len(on_disk) == 1
    assert parts.spool.names() == []
    assert await parts.picture(held) == "image/png"


async def test_a_picture_is_salvaged_by_the_next_round_when_redis_was_away(parts):
    held = await parts.held()
    name = parts.kept(held)
    await parts.ended(held)
    parts.store.failing = 1

    with pytest.raises(ServiceUnavailable):
        await parts.salvager.salvage()
    left = parts.spool.names()
    await parts.salvager.salvage()

    assert left == [name]
    assert await parts.picture(held) == "image/png"
    assert parts.spool.names() == []


async def test_two_pictures_that_two_workers_salvage_at_once_are_both_in_the_record(parts):
    held = await parts.held(n=2)
    first = parts.kept(held)
    await parts.ended(held)

    async def other():
        parts.blobs.told = Blobs.told.__get__(parts.blobs)
        parts.spool.drop(first)
        parts.kept(held, SECOND, 1)
        await parts.other_salvager.salvage()

    parts.blobs.told = other
    await parts.salvager.salvage()

    assert [await parts.picture(held, index) for index in (0, 1)] == ["image/png"] * 2
    assert parts.spool.names() == []


async def test_a_picture_on_disk_whose_job_was_canceled_while_it_was_recovered_is_in_the_record(parts):
    held = await parts.held()
    parts.kept(held)

    async def canceled():
        await held.apply(lambda j, now: moves.cancel(j, now, by="user"))
        await held.apply(moves.stop)

    parts.blobs.told = canceled
    await parts.salvager.recover(held, 1, 0)

    assert held.now.status is Status.CANCELED
    assert await parts.picture(held) == "image/png"
    assert parts.spool.names() == []


async def test_a_picture_of_a_job_that_has_succeeded_without_it_is_added(parts):
    held = await parts.held(n=2)
    await keep(parts, held)
    await held.apply(lambda j, now: moves.settle(j, now, 1, outcome="succeeded", charged=True))
    await held.apply(moves.succeed)
    parts.kept(held, SECOND, 1)

    await parts.salvager.salvage()

    assert [await parts.picture(held, index) for index in (0, 1)] == ["image/png"] * 2
    assert (await parts.store.get(held.now.id)).status is Status.SUCCEEDED
    assert parts.spool.names() == []


async def taken_over(parts):
    """As when a worker lost its lease in a call: another has closed the row, and the job goes on."""
    await lose_worker(parts.store, "worker")
    other = LeasedJob(parts.store, await claims_of(parts.store).claim_next("turn", "other", 15_000))
    await other.apply(lambda j, now: moves.lose(j, now, "another spool"))
    return other


async def test_a_picture_of_a_worker_that_lost_its_lease_spares_the_job_another_call(parts):
    held = await parts.held()
    other = await taken_over(parts)
    await other.apply(lambda j, now: moves.back_off(j, now, 30_000))

    with pytest.raises(results.Fenced):
        await keep(parts, held)

    job = await parts.store.get(held.now.id)
    assert (job.status, job.attempts[0].charged, ledger.to_make(job)) == (Status.QUEUED, True, ())
    claim = await claims_of(parts.store).claim_next("turn", "other", 15_000)
    assert (claim.job.id, await parts.picture(held)) == (job.id, "image/png")


async def test_a_late_picture_stays_where_a_second_call_brings_one_for_its_place(parts):
    held = await parts.held()
    other = await taken_over(parts)
    await other.apply(lambda j, now: moves.intend(j, now, (0,)))

    with pytest.raises(results.Fenced):
        await keep(parts, held)
    await keep(parts, other, data=SECOND, call=2)

    assert await parts.picture(held) == "image/png"
    first = await parts.store.get(held.now.id)
    assert first.images[0].sha256 == hashlib.sha256(PNG).hexdigest()
    ((second, at_ms),) = await parts.store.redis.zrange(KEYS.expiring_blobs, 0, -1, withscores=True)
    assert await parts.blobs.read(second.decode()) == SECOND
    assert 86_390_000 < at_ms - now_ms() <= 86_400_000


async def test_a_late_picture_takes_no_job_from_whoever_has_just_claimed_it(parts):
    held = await parts.held()
    other = await taken_over(parts)
    await other.apply(lambda j, now: moves.back_off(j, now, 0))
    holder = LeasedJob(parts.store, await claims_of(parts.store).claim_next("turn", "holder", 15_000))

    late = asyncio.create_task(keep(parts, held))
    await asyncio.sleep(0.3)
    waited = not late.done()
    await holder.apply(moves.start)
    with pytest.raises(results.Fenced):
        await late

    await holder.look()
    assert waited
    assert (holder.now.status, ledger.to_make(holder.now)) == (Status.RUNNING, ())
    assert await claims_of(parts.store).claim_next("turn", "another", 15_000) is None


async def test_pictures_that_wait_for_their_conversion_are_on_disk_and_their_jobs_say_so(parts, monkeypatch, tmp_path):
    begun, go, python = tmp_path / "begun", tmp_path / "go", tmp_path / "python"
    waits = f"echo >> {begun}; while [ ! -e {go} ]; do sleep 0.05; done; exec {sys.executable}"
    python.write_text(f'#!/bin/sh\n{waits} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    jobs = [await parts.held(output_format="webp") for _ in range(5)]
    at_work = [asyncio.create_task(keep(parts, held)) for held in jobs]
    await until(lambda: begun.exists() and all(held.now.attempts[0].spool for held in jobs))
    on_disk, spool = parts.spool.names(), parts.spool.name()
    go.touch()
    await asyncio.gather(*at_work)

    assert begun.read_text() == "\n\n"
    assert sorted(on_disk) == sorted(f"{stem_of(held.now, 1, 0)}.png" for held in jobs)
    assert {held.now.attempts[0].spool for held in jobs} == {spool}
    assert [await parts.picture(held) for held in jobs] == ["image/webp"] * 5
    assert parts.spool.names() == []


async def test_a_picture_that_is_right_already_sees_no_disk_and_costs_one_move(parts, tmp_path):
    held = await parts.held(output_format="png")
    before = held.now.version

    await keep(parts, held)

    assert held.now.version == before + 1
    assert not (tmp_path / "spool").exists()


async def test_an_original_on_disk_is_made_what_was_asked_for_by_whoever_finds_it(parts):
    held = await parts.held(output_format="webp")
    parts.kept(held)

    warning = await parts.salvager.recover(held, 1, 0)

    assert warning is None
    assert await parts.picture(held) == "image/webp"
    assert parts.spool.names() == []


async def test_an_original_that_cannot_be_converted_is_recovered_as_it_came_with_a_warning(parts):
    held = await parts.held(output_format="webp")
    parts.kept(held, TORN)

    warning = await parts.salvager.recover(held, 1, 0)

    assert (warning.code, warning.field) == ("ignored_option", "outputFormat")
    assert await parts.picture(held) == "image/png"


async def test_an_original_of_a_job_that_has_ended_is_salvaged_as_what_was_asked_for(parts):
    held = await parts.held(output_format="webp")
    parts.kept(held)
    await parts.ended(held)

    await parts.salvager.salvage()

    assert await parts.picture(held) == "image/webp"
    assert parts.spool.names() == []


async def test_a_picture_that_was_stored_converted_before_its_worker_died_is_not_made_again(parts):
    held = await parts.held(output_format="webp")
    name = parts.kept(held).replace(".png", ".webp")
    stored = converted(PNG, "image/webp", 30)
    await parts.blobs.put(name, stored, "image/webp")

    await parts.salvager.recover(held, 1, 0)

    assert (await parts.picture(held), await parts.blobs.read(name)) == ("image/webp", stored)
    assert parts.spool.names() == []


async def test_one_file_that_is_no_picture_holds_up_no_other(parts):
    held = await parts.held(n=2)
    parts.kept(held, b"no picture", 1)
    parts.kept(held)
    await parts.ended(held)

    await parts.salvager.salvage()

    assert await parts.picture(held) == "image/png"
