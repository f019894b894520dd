"""The outbox on a real Redis: leases, the breaker of an endpoint, and what is put on its way again."""

import asyncio

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from jobs.encryption import Sealer
from jobs.model.job import Event, Webhook
from jobs.model.moves import Changed
from jobs.model.times import now_ms
from jobs.outside.address import Policy
from jobs.redis.fields import BreakerField
from jobs.redis.keys import Keys
from jobs.store.jobs import RedisJobStore
from jobs.webhooks.delivery import DeliveryAttempt, after_attempt, dead, deliveries
from jobs.webhooks.enabled_cache import FRESH_SECONDS
from jobs.webhooks.endpoint import Endpoint, Secret
from jobs.webhooks.endpoints import Endpoints, EndpointSpec
from jobs.webhooks.outbox import Outbox, outbox_rows
from tests.jobs import new_job

pytestmark = pytest.mark.anyio
PREFIX = "{test}:"
KEYS = Keys(PREFIX)
SCHEDULE = (0, *[1] * 20)
ENDPOINT = Endpoint(
    id="whe_x", org="acme", url="https://r.example/", events=("image.job.queued",), secrets=(Secret(sealed="s"),),
    created_ms=0, updated_ms=0,
)  # fmt: skip


@pytest.fixture
def outbox(redis):
    return Outbox(redis, PREFIX)


@pytest.fixture
def store(redis):
    async def endpoints(_):
        return (ENDPOINT,)

    return RedisJobStore(redis, PREFIX, "https://darkroom.test", outbox_rows=outbox_rows(endpoints))


async def no_endpoints(_):
    return ()


def answered(status):
    return DeliveryAttempt(at_ms=now_ms(), took_ms=0, status=status)


async def due(outbox, most=100, room=4):
    return (await outbox.due(most, 30_000, room)).deliveries


async def fail(outbox, *rows, status=500):
    for row in rows:
        after = after_attempt(row, answered(status), SCHEDULE, spread=1.0, retry_after=None)
        assert await outbox.settle(row, after, 60_000, good=200 <= status < 300)


async def reopened(redis):
    """The pause of the breaker is over."""
    await redis.hset(KEYS.receiver("whe_x"), BreakerField.SHUT_UNTIL, now_ms() - 1)
    await redis.zadd(KEYS.due_queues, {"whe_x": now_ms() - 1})


async def test_a_receiver_that_fails_five_times_in_a_row_gets_one_try_at_a_time_ever_more_seldom(redis, outbox, store):
    for _ in range(30):
        await store.create(new_job())
    await fail(outbox, *await due(outbox))
    await fail(outbox, *await due(outbox, 1))

    pauses = []
    for _ in range(7):
        found = await outbox.due(100, 30_000, 4)
        assert found.deliveries == ()
        pauses.append(round(found.next_in_ms / 1000))
        await reopened(redis)
        (single,) = await due(outbox)
        assert await due(outbox) == ()
        await fail(outbox, single)

    assert pauses == [30, 60, 120, 240, 480, 600, 600]


async def test_one_success_gives_the_receiver_its_whole_room_again(redis, outbox, store):
    for _ in range(20):
        await store.create(new_job())
    for _ in range(2):
        await fail(outbox, *await due(outbox))
    await reopened(redis)

    await fail(outbox, *await due(outbox), status=200)

    assert len(await due(outbox)) == 4


async def test_a_jobs_own_webhook_has_a_breaker_for_its_org_alone(redis, outbox):
    store = RedisJobStore(redis, PREFIX, "https://darkroom.test", outbox_rows=outbox_rows(no_endpoints))
    for org in ("dead", "well"):
        for number in range(10):
            hook = Webhook(url=f"https://shared.example/{org}/{number}", events=("image.job.queued",))
            await store.create(new_job(org=org, webhook=hook))
    rounds = []
    for _ in range(2):
        rounds.append(await due(outbox))
        await fail(outbox, *[row for row in rounds[-1] if row.org == "dead"])
        await fail(outbox, *[row for row in rounds[-1] if row.org == "well"], status=200)

    found = await outbox.due(100, 30_000, 4)

    assert [len(each) for each in rounds] == [8, 8]
    assert {row.org for row in found.deliveries} == {"well"}
    assert len(found.deliveries) == 2
    assert round(found.next_in_ms / 1000) == 30


async def test_posts_that_were_under_way_when_it_shut_make_the_pause_no_longer(outbox, store):
    for _ in range(20):
        await store.create(new_job())

    await fail(outbox, *await due(outbox, room=8))

    assert round((await outbox.due(100, 30_000, 4)).next_in_ms / 1000) == 30


async def test_a_receiver_has_no_more_posts_under_way_than_it_has_room_for_whoever_posts(outbox, store):
    for _ in range(6):
        await store.create(new_job())
    taken = await due(outbox)
    other = await outbox.due(100, 30_000, 4)

    await fail(outbox, taken[0], status=200)
    freed = await due(outbox)

    assert [len(taken), len(other.deliveries), len(freed)] == [4, 0, 1]
    assert 29_000 < other.next_in_ms <= 30_000  # its couriers may have died: then their leases are over


async def test_a_single_try_has_its_time_also_beside_posts_that_were_under_way(redis, outbox, store):
    for _ in range(20):
        await store.create(new_job())
    await outbox.due(100, 10_000, 3)
    await reopened(redis)
    single = await outbox.due(100, 30_000, 4)

    assert len(single.deliveries) == 1
    assert 29_000 < single.next_in_ms <= 30_000


async def test_room_that_died_with_its_courier_comes_back_with_the_lease(outbox, store):
    for _ in range(6):
        await store.create(new_job())
    lost = (await outbox.due(100, 50, 4)).deliveries
    await asyncio.sleep(0.06)

    found = await due(outbox)

    assert {row.id for row in lost} & {row.id for row in found}
    assert len(found) == 4


async def test_of_two_couriers_with_the_same_row_the_second_is_refused(outbox, store):
    await store.create(new_job())
    (row,) = await due(outbox)

    assert await outbox.settle(row, dead(row, "one"), 0) is True
    assert await outbox.settle(row, dead(row, "two"), 0) is False
    assert (await outbox.get("acme", row.id)).reason == "one"


async def test_a_row_is_put_on_its_way_again_by_one_of_two_at_the_same_time_and_kept_until_its_end(
    redis, outbox, store
):
    await store.create(new_job())
    (row,) = await due(outbox)
    await outbox.settle(row, dead(row, "gone"), 0)
    ended = await outbox.get("acme", row.id)
    key = KEYS.delivery(row.id)
    assert await redis.pttl(key) > 0

    counts = await asyncio.gather(outbox.redeliver([ended]), outbox.redeliver([ended]))
    (again,) = await due(outbox)

    assert sorted(counts) == [0, 1]
    assert await redis.pttl(key) == -1
    assert (again.id, again.event_id, again.body, again.reason) == (row.id, row.event_id, row.body, None)


async def test_what_is_being_posted_is_neither_made_due_nor_sent_again_beside_itself(outbox, store):
    await store.create(new_job())
    (row,) = await due(outbox)

    await outbox.make_due(row.queue)

    assert await due(outbox) == ()
    assert await outbox.redeliver([row]) == 0
    await fail(outbox, row)
    await outbox.make_due(row.queue)
    assert [d.id for d in await due(outbox)] == [row.id]


async def test_a_job_that_is_erased_takes_its_rows_out_of_log_and_queue(outbox, store):
    erased, kept = new_job(), new_job()
    for made in (erased, kept):
        await store.create(made)

    await store.erase(erased)

    ids = await outbox.below("acme", None, 10)
    assert [d.job_id for d in await outbox.many("acme", ids)] == [kept.id]
    assert [d.job_id for d in await due(outbox)] == [kept.id]


async def test_an_org_without_endpoints_writes_no_row(redis):
    store = RedisJobStore(redis, PREFIX, "https://darkroom.test", outbox_rows=outbox_rows(no_endpoints))

    await store.create(new_job())

    assert [k for k in await redis.keys("*") if b"deliver" in k or b"queue" in k] == []


async def test_who_is_enabled_is_remembered_for_seconds_and_forgotten_by_the_process_that_changes_it(
    redis_url, redis, outbox
):
    seconds, parts = [0.0], {"sealer": Sealer(bytes(32)), "policy": Policy(), "clock": lambda: seconds[0]}
    here = Endpoints(redis, PREFIX, outbox=outbox, **parts)
    assert list(await here.enabled("acme")) == []
    async with Redis.from_url(redis_url) as other:
        there = Endpoints(other, PREFIX, outbox=Outbox(other, PREFIX), **parts)
        assert list(await there.enabled("acme")) == []

        made = (await here.create("acme", EndpointSpec(url="https://r.example/"))).endpoint

        assert list(await here.enabled("acme")) == [made]
        assert list(await there.enabled("acme")) == []
        seconds[0] += FRESH_SECONDS
        assert list(await there.enabled("acme")) == [made]
        await here.change("acme", made.id, {"disabled": "by request"})
        assert list(await here.enabled("acme")) == []


def test_an_event_goes_to_each_endpoint_that_names_it_and_to_the_jobs_own_webhook_once():
    own = ENDPOINT.url
    event = Event(id="evt_x", type="image.job.queued", timestamp="t", sequence=1, job_id="job_x", data={"id": "job_x"})
    told = event.data | {"status": "queued", "urls": {}}
    other = replace(ENDPOINT, id="whe_y", events=("image.job.failed",))

    found = deliveries(Changed(new_job(), "image.job.queued").job, replace(event, data=told), (ENDPOINT, other))

    assert [(d.endpoint_id, d.url, d.secret) for d in found] == [("whe_x", own, None)]


async def test_a_long_queue_is_made_due_by_several_short_scripts(redis, outbox):
    await redis.zadd(KEYS.queued_deliveries("whe_x"), {f"dlv_{n:04}": now_ms() + 60_000 for n in range(1_200)})
    await redis.config_resetstat()

    await outbox.make_due("whe_x")

    scripts = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert await redis.zcount(KEYS.queued_deliveries("whe_x"), "-inf", now_ms()) == 1_200
    assert scripts >= 3
    assert await redis.zscore(KEYS.due_queues, "whe_x") <= now_ms()
