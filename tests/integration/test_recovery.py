"""What a worker stored before it died is found, whatever room its provider has; on a real Redis, with real files."""

import asyncio
import random
from functools import partial

import pytest
from PIL import Image as Pillow

from jobs.blobs.expiry import BlobExpiry
from jobs.blobs.local import LocalBlobs
from jobs.blobs.spool import Spool
from jobs.catalog.families import Catalog
from jobs.errors import Outcome
from jobs.ids import new_id
from jobs.model import moves
from jobs.model.account import single
from jobs.model.choices import OnAmbiguous
from jobs.model.job import Options, Phase, Status
from jobs.model.picture import Picture
from jobs.model.request import Fallback, Target
from jobs.model.times import now_ms
from jobs.pictures.decoding import Decoder
from jobs.pictures.sniff import measure
from jobs.providers.base import Answered
from jobs.redis.fields import BreakerField
from jobs.redis.keys import Keys
from jobs.store.breaker import Breaker
from jobs.store.claims import Claims
from jobs.store.jobs import RedisJobStore
from jobs.store.replication import Replication
from jobs.worker.call import CallContext
from jobs.worker.inputs import LoadedInputs
from jobs.worker.lease import LeasedJob
from jobs.worker.output_format import Converter
from jobs.worker.previews import Previews
from jobs.worker.results import ResultWriter
from jobs.worker.run import Runner
from jobs.worker.salvage import Salvager
from tests.jobs import lose_worker, new_job

pytestmark = pytest.mark.anyio
KEYS = Keys("{test}:")
LEASE_MS = 15_000
ELSEWHERE = (Fallback(target=Target("openai", "gpt-image-2")),)


class FarEnd:
    """A provider that counts its calls."""

    def __init__(self, data):
        self.data = data
        self.calls = 0

    async def generate(self, _):
        self.calls += 1
        yield Answered(status=200)
        yield Picture(data=self.data, media_type="image/png")


class NoInputs:
    async def load(self, _):
        return LoadedInputs()


class Parts:
    """A store, a salvager and a runner as a worker has them, and a worker that dies at a moment of one's choice."""

    def __init__(self, redis, folder, data):
        self.redis, self.data, self.shared_simulator = redis, data, FarEnd(data)
        self.store = RedisJobStore(redis, "{test}:", "http://here")
        self.claims = Claims(redis, "{test}:")
        self.breaker = Breaker(redis, "{test}:", max_failures=1, open_ms=60_000)
        self.blobs = LocalBlobs(folder / "blobs", "files", "http://here", public=True, signing_key=b"k" * 32)
        expiry, catalog = BlobExpiry(redis, "{test}:", self.blobs), Catalog.load(None)
        parts = {
            "store": self.store,
            "blobs": self.blobs,
            "spool": Spool(folder / "spool"),
            "converter": Converter(catalog, Decoder()),
        }
        self.writer = ResultWriter(**parts, expiry=expiry)
        self.salvager = Salvager(**parts, claims=self.claims, writer=self.writer)
        self.context = CallContext(
            breaker=Breaker(redis, "{test}:", max_failures=5, open_ms=1_000),
            replication=Replication(redis, "{test}:", 0),
            writer=self.writer,
            previews=Previews(blobs=self.blobs, expiry=expiry),
            catalog=catalog,
            accounts={},
            providers={"gemini": self.shared_simulator},
            operators=None,
            provider_seconds=30,
        )
        self.runner = Runner(
            store=self.store,
            context=self.context,
            salvager=self.salvager,
            rooms=self.claims.rooms,
            inputs=NoInputs(),
            absorb_seconds=5,
        )

    async def created(self, seconds=60, fallbacks=(), **options):
        job = new_job(
            model="gemini-3.1-flash-image-preview",
            options=Options(**options),
            cancel_at_ms=now_ms() + round(seconds * 1000),
            fallbacks=fallbacks,
        )
        await self.store.create(job)
        return job

    async def claim(self, lease_ms=LEASE_MS):
        return await self.claims.claim_next(new_id("turn"), "worker", lease_ms)

    async def died_in_a_call(self, *, stored=True, **wish):
        """A job whose worker died between the blob store's answer and the checkpoint, or before its call ended."""
        await self.created(**wish)
        claim = await self.claim(lease_ms=1)
        job = await self.store.commit(claim.job, moves.start(claim.job, now_ms()), claim.fence)
        job = await self.store.commit(job, moves.intend(job, now_ms(), (0,)), claim.fence)
        if stored:
            image = self.writer.image(job, 1, 0, Picture(data=self.data, media_type="image/png"))
            await self.blobs.put(image.blob, self.data, "image/png")
        await asyncio.sleep(0.01)
        return job

    async def look_after_the_lost(self):
        return await lose_worker(self.store, "worker")

    async def shut(self):
        await self.breaker.record_call(self.breaker.ended_call("gemini", "m", "bad", 1))


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "picture.png"
    Pillow.frombytes("RGB", (64, 64), random.Random(1).randbytes(64 * 64 * 3)).save(path)
    assert measure(path.read_bytes()).media_type == "image/png"
    return path.read_bytes()


@pytest.fixture
async def parts(redis, tmp_path, data):
    parts = Parts(redis, tmp_path, data)
    await parts.blobs.open()
    return parts


async def no_room(parts, why):
    match why:
        case "the breaker is open":
            await parts.shut()
        case "the provider is full":
            parts.claims = Claims(parts.redis, "{test}:", single({"gemini": 0}))
        case "the org is full":
            await parts.redis.hset(KEYS.limits("acme"), "maxRunning", "0")


@pytest.mark.parametrize("why", ["the breaker is open", "the provider is full", "the org is full"])
async def test_what_a_dead_worker_stored_is_taken_whatever_room_there_is_and_nobody_is_called(parts, why):
    job = await parts.died_in_a_call()
    await no_room(parts, why)
    assert await parts.look_after_the_lost() == []

    claim = await parts.claim()
    await parts.runner.run(claim)

    ended = await parts.store.get(job.id)
    assert not claim.room
    assert (ended.status, len(ended.images), ended.attempts[0].charged) == (Status.SUCCEEDED, 1, True)
    assert parts.shared_simulator.calls == 0


async def test_a_lost_job_asks_for_a_turn_while_its_provider_is_shut(parts):
    await parts.died_in_a_call()
    await parts.shut()
    await parts.look_after_the_lost()
    await parts.claims.renew("worker", LEASE_MS, 1, [])
    await parts.redis.delete(KEYS.turns)

    assert len(await parts.claims.missing_turns(1)) == 1


@pytest.mark.parametrize("fallbacks", [(), ELSEWHERE])
async def test_a_lost_job_that_needs_another_call_waits_for_room_with_the_others(parts, fallbacks):
    job = await parts.died_in_a_call(stored=False, on_ambiguous=OnAmbiguous.RETRY, fallbacks=fallbacks)
    await parts.shut()
    await parts.look_after_the_lost()

    await parts.runner.run(await parts.claim())

    waits = await parts.store.get(job.id)
    assert (waits.status, waits.attempts[0].outcome) == (Status.QUEUED, Outcome.UNKNOWN)
    assert await parts.claim() is None
    assert parts.shared_simulator.calls == 0
    await parts.redis.delete(KEYS.breaker("gemini"))
    await parts.runner.run(await parts.claim())
    assert (await parts.store.get(job.id)).status is Status.SUCCEEDED


async def test_a_lost_job_is_no_probe_of_a_breaker(parts):
    await parts.died_in_a_call()
    await parts.redis.hset(KEYS.breaker("gemini"), BreakerField.SHUT_UNTIL, "1")
    await parts.look_after_the_lost()

    claim = await parts.claim()

    assert not claim.room
    assert await parts.redis.hexists(KEYS.breaker("gemini"), BreakerField.PROBE) is False


async def test_a_job_claimed_past_its_deadline_is_given_what_is_stored_before_it_is_closed(parts):
    job = await parts.died_in_a_call(seconds=1.5)
    await parts.look_after_the_lost()
    claim = await parts.claim()
    await asyncio.sleep(1.6)

    await parts.runner.run(claim)

    ended = await parts.store.get(job.id)
    assert (ended.status, len(ended.images)) == (Status.SUCCEEDED, 1)


async def test_a_picture_that_was_stored_is_salvaged_when_its_lost_job_was_closed_at_the_deadline(parts):
    job = await parts.died_in_a_call(seconds=1)
    await asyncio.sleep(1.1)
    assert await parts.look_after_the_lost() == [job.id]
    closed = await parts.store.commit(job, moves.overdue(job, now_ms()))

    await parts.salvager.find_missing()

    late = await parts.store.get(job.id)
    assert (closed.status, late.status) == (Status.FAILED, Status.FAILED)
    assert (late.salvaged, late.attempts[0].charged) == (True, True)
    assert await parts.blobs.read(late.images[0].blob) == parts.data
    assert await parts.claims.pending_salvage() == []


async def test_a_picture_that_comes_later_is_looked_for_again_and_not_for_ever(parts, monkeypatch):
    job = await parts.died_in_a_call(seconds=1, stored=False)
    await asyncio.sleep(1.1)
    await parts.store.commit(job, moves.overdue(job, now_ms()))

    await parts.salvager.find_missing()

    again = await parts.redis.zscore(KEYS.pending_salvage, job.id)
    assert again > now_ms() + 30_000
    await parts.redis.zadd(KEYS.pending_salvage, {job.id: 0})
    monkeypatch.setattr("jobs.worker.salvage.LOOK_FOR_MS", 0)
    await parts.salvager.find_missing()
    assert await parts.redis.zscore(KEYS.pending_salvage, job.id) is None


async def test_a_job_that_ended_in_its_workers_hands_with_a_call_open_is_looked_for_when_the_lease_is_over(parts):
    await parts.created()
    claim = await parts.claim()
    job = await parts.store.commit(claim.job, moves.start(claim.job, now_ms()), claim.fence)
    job = await parts.store.commit(job, moves.intend(job, now_ms(), (0,)), claim.fence)
    job = await parts.store.commit(job, moves.cancel(job, now_ms(), by="api"))
    job = await parts.store.commit(job, moves.stop(job, now_ms()), claim.fence)

    assert job.status is Status.CANCELED
    assert await parts.claims.pending_salvage() == []
    assert await parts.redis.zscore(KEYS.pending_salvage, job.id) > now_ms() + LEASE_MS / 2


async def test_a_picture_on_a_disk_elsewhere_is_waited_for_although_the_provider_is_shut(parts):
    job = await parts.died_in_a_call(stored=False)
    job = await parts.store.commit(job, moves.spooled(job, now_ms(), 1, "another machine"))
    await parts.shut()
    await parts.look_after_the_lost()

    await parts.runner.run(await parts.claim())

    waits = await parts.store.get(job.id)
    assert (waits.status, waits.phase) == (Status.QUEUED, Phase.UPLOADING)
    await parts.redis.zadd(KEYS.backing_off, {job.id: 0})
    again = await parts.claim()
    assert (again.job, again.room) == (waits, False)
    image = parts.writer.image(job, 1, 0, Picture(data=parts.data, media_type="image/png"))
    await parts.blobs.put(image.blob, parts.data, "image/png")
    await parts.runner.run(again)
    assert (await parts.store.get(job.id)).status is Status.SUCCEEDED


class Slow(FarEnd):
    """Sends each of two pictures, the second with its end, when it is let go on."""

    def __init__(self, data):
        super().__init__(data)
        self.goes_on = asyncio.Semaphore(0)

    async def generate(self, _):
        self.calls += 1
        yield Answered(status=200)
        for index in range(2):
            await self.goes_on.acquire()
            yield Picture(data=self.data, media_type="image/png", index=index)


async def test_both_pictures_of_a_call_are_kept_that_outlived_its_lease(parts):
    slow = Slow(parts.data)
    parts.context.providers["azure-openai"] = slow
    job = new_job("azure-openai", n=2, model="gpt-image-2")
    await parts.store.create(job)
    running = asyncio.create_task(parts.runner.run(await parts.claim(lease_ms=1)))
    await until(lambda: slow.calls)
    await parts.look_after_the_lost()
    other = LeasedJob(parts.store, await parts.claim())
    await other.apply(partial(moves.lose, spool="another"))

    slow.goes_on.release()
    while not (await parts.store.get(job.id)).images:  # noqa: ASYNC110  # it is a record that is looked at
        await asyncio.sleep(0.01)
    slow.goes_on.release()
    await running

    kept = await parts.store.get(job.id)
    assert {image.index for image in kept.images} == {0, 1}


async def until(true):
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  # another task's doing
            await asyncio.sleep(0.01)
