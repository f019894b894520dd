"""Who hears of which jobs in one API process on a real Redis: previews, lost news, and sockets that nobody reads."""

import asyncio
import base64
import contextlib

import httpx
import pytest

from app.live.sockets import ENDS_UNREAD, PROGRESS_UNREAD
from app.live.subscriptions import Listener, Subscriptions
from app.main import create_app
from jobs.model import moves
from jobs.model.job import Progress
from jobs.model.picture import Preview
from jobs.model.times import now_ms
from jobs.redis.keys import Keys
from jobs.settings import Settings
from jobs.store.jobs import RedisJobStore
from tests.jobs import claims_of, new_job
from tests.neighbours.gateway import SECRET, token

pytestmark = pytest.mark.anyio
PREFIX = "{darkroom}:"
PIXEL = b"\x89PNG and so on"


@pytest.fixture
def store(redis):
    """A worker's hand: it makes the moves."""
    return RedisJobStore(redis, PREFIX, "http://here")


@pytest.fixture
async def app(redis, redis_url, tmp_path):
    """An API process without its port, which hears the news."""
    told = {"REDIS_URL": redis_url, "JWT_SECRET": SECRET, "DARKROOM_DATA_DIR": str(tmp_path), "DARKROOM_DEV": "1"}
    key = base64.b64encode(bytes(32)).decode()
    app = create_app(Settings.load({**told, "DARKROOM_SECRET_KEY": key, "AZURE_STORAGE_PUBLIC": "1"}, None))
    async with app.lifespan():
        await subscribed(redis)
        yield app


async def subscribed(redis):
    async with asyncio.timeout(20):
        while not (await redis.pubsub_numsub(Keys(PREFIX).changes))[0][1]:  # noqa: ASYNC110  # another process' state
            await asyncio.sleep(0.02)


class Room:
    """A listener of its own jobs, and what it was told."""

    def __init__(self, app):
        self.told = []
        self.listener = Listener("one", "acme", "ann")
        self.subscriptions = Subscriptions(app.state.services, self._tell)
        self.subscriptions.join(self.listener)
        app.state.services.notifier.subscribe(self.subscriptions.on_change)

    async def _tell(self, listeners, message):
        assert list(listeners) == [self.listener]
        self.told.append(message)

    async def until(self, true):
        async with asyncio.timeout(10):
            while not any(true(message) for message in self.told):  # noqa: ASYNC110  # a list has no event
                await asyncio.sleep(0.02)
        return self.told


@pytest.fixture
async def room(app):
    room = Room(app)
    yield room
    await room.subscriptions.close()


def anns_job():
    return new_job(subject="ann", model="gemini-2.5-flash-image")


async def running(store):
    """A job in a worker's hands, whose paid call is under way."""
    job = anns_job()
    await store.create(job)
    claim = await claims_of(store).claim_next("turn", "worker", 60_000)
    job = await store.commit(claim.job, moves.start(claim.job, now_ms()), claim.fence)
    return await store.commit(job, moves.intend(job, now_ms(), (0,)), claim.fence)


async def test_a_preview_is_told_by_its_address_and_with_its_bytes_where_they_are_there(room, store, tmp_path):
    (tmp_path / "blobs/files/one.png").write_bytes(PIXEL)
    job = await running(store)

    for number, name in enumerate(("one", "gone")):
        url = f"http://127.0.0.1:8000/files/{name}.png"
        seen = Preview(index=0, partial_index=number, url=url, media_type="image/png", width=1, height=1)
        job = await store.commit(job, moves.preview(job, now_ms(), seen))
        await room.until(lambda message, number=number: message.data.get("partial_index") == number)
    first, second = [message.data for message in room.told if "preview_url" in message.data]

    assert (first["preview_url"], first["n_index"]) == ("http://127.0.0.1:8000/files/one.png", 0)
    assert (first["mime_type"], base64.b64decode(first["preview_b64"])) == ("image/png", PIXEL)
    assert (second["partial_index"], "preview_b64" in second) == (1, False)


async def test_a_number_that_is_below_one_that_was_told_is_never_told(room, store):
    job = await running(store)
    for value in (0.5, 0.2, 0.6):
        job = await store.commit(job, moves.progress(job, now_ms(), Progress(value=value, step=1, steps=4)))
        await asyncio.sleep(0.2)
    told = await room.until(lambda message: message.data["progress"] == 60)

    percents = [message.data["progress"] for message in told]
    assert percents == sorted(percents)
    assert (told[-1].data["source"], told[-1].data["step"], told[-1].data["total_steps"]) == ("provider", 1, 4)


async def test_an_end_in_the_moment_without_a_subscription_is_heard_of_afterwards(room, store, redis):
    job = anns_job()
    await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    await store.create(job)
    await store.commit(job, moves.cancel(job, now_ms(), by="me"))
    told = await room.until(lambda message: message.last)

    assert [(message.name, message.data["job_id"]) for message in told] == [("failed", job.id)]
    assert told[0].data["error"]["code"] == "JOB_CANCELED"


class Wire:
    """A websocket from the application's side, whose client can stop to read."""

    def __init__(self):
        self.sent = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.said = asyncio.Queue()
        self.said.put_nowait({"type": "websocket.connect"})
        text = f'40/image-progress,{{"token":"{token("acme", sub="ann")}"}}'
        self.said.put_nowait({"type": "websocket.receive", "text": text})
        headers = [(b"host", b"here"), (b"connection", b"upgrade"), (b"upgrade", b"websocket")]
        query = b"EIO=4&transport=websocket"
        path = "/socket.io/"
        self.scope = {"type": "websocket", "path": path, "raw_path": path.encode(), "query_string": query}
        self.scope |= {"headers": headers, "subprotocols": [], "scheme": "ws", "root_path": "", "client": None}

    async def send(self, message):
        await self.reads.wait()
        self.sent.append(message.get("text") or "")

    def told(self, name):
        return [text for text in self.sent if text.startswith(f'42/image-progress,["{name}"')]


@contextlib.asynccontextmanager
async def connected(app):
    wire = Wire()
    call = asyncio.create_task(app(wire.scope, wire.said.get, wire.send))
    async with asyncio.timeout(20):
        while not any(text.startswith("40/image-progress") for text in wire.sent):  # noqa: ASYNC110  # a list has no event
            await asyncio.sleep(0.02)
    yield wire
    wire.reads.set()
    wire.said.put_nowait({"type": "websocket.disconnect", "code": 1006})
    await asyncio.wait_for(call, 20)


@pytest.fixture
async def wire(app):
    async with connected(app) as wire:
        yield wire


async def test_who_connects_hears_at_once_how_its_own_jobs_stand_that_somebody_follows_here(app, wire, store):
    job = await running(store)
    await store.commit(job, moves.progress(job, now_ms(), Progress(value=0.5, step=1, steps=2)))
    async with asyncio.timeout(20):
        while not any('"progress":50' in text for text in wire.told("progress")):  # noqa: ASYNC110  # a list has no event
            await asyncio.sleep(0.02)
    async with connected(app) as late, asyncio.timeout(20):
        while len(late.sent) < 4:  # noqa: ASYNC110  # a list has no event
            await asyncio.sleep(0.02)

    assert [text[:4] for text in late.sent[1:4]] == ['0{"s', "40/i", "42/i"]
    assert [('"progress":50' in text, job.id in text) for text in late.told("progress")] == [(True, True)]


async def test_a_websocket_that_says_nothing_is_let_go_before_it_belongs_to_a_session(app, monkeypatch):
    monkeypatch.setattr("app.live.sockets.PATIENCE_SECONDS", 0.3)
    wire = Wire()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        begun = await client.get("/socket.io/?EIO=4&transport=polling")
    wire.scope["query_string"] += b"&sid=" + begun.text.split('"')[3].encode()
    wire.said = asyncio.Queue()
    wire.said.put_nowait({"type": "websocket.connect"})

    await asyncio.wait_for(app(wire.scope, wire.said.get, wire.send), 20)

    assert wire.sent == [""]  # it was accepted


async def test_progress_that_nobody_reads_is_left_out_and_the_end_is_told_all_the_same(wire, store):
    wire.reads.clear()
    made = [anns_job() for _ in range(100)]
    for job in made:
        await store.create(job)
    await store.commit(made[0], moves.cancel(made[0], now_ms(), by="me"))
    await asyncio.sleep(1)
    wire.reads.set()
    async with asyncio.timeout(20):
        while not wire.told("failed"):  # noqa: ASYNC110  # a list has no event
            await asyncio.sleep(0.02)

    assert 0 < len(wire.told("progress")) <= 2 * PROGRESS_UNREAD + 2
    assert made[0].id in wire.told("failed")[0]


async def test_a_socket_that_never_reads_is_let_go_before_it_takes_much_memory(app, wire, store):
    wire.reads.clear()
    for _ in range(2 * ENDS_UNREAD + PROGRESS_UNREAD):
        job = anns_job()
        await store.create(job)
        await store.commit(job, moves.cancel(job, now_ms(), by="me"))
        if not app.state.services.streams:
            break
        await asyncio.sleep(0.005)
    async with asyncio.timeout(20):
        while app.state.services.streams:  # noqa: ASYNC110  # a set has no event
            await asyncio.sleep(0.02)
    wire.reads.set()

    assert len(wire.told("failed")) <= 2 * ENDS_UNREAD + 1
