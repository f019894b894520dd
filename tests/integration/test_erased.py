"""What an erased job leaves in the day's counts: what was charged, or may yet be, and no more; on a real Redis."""

import base64

import pytest

from app.main import create_app
from jobs.model import moves
from jobs.model.times import moment, now_ms
from jobs.pictures.names import names_of
from jobs.redis.keys import Keys
from jobs.settings import Settings
from jobs.store.outcomes import Stale
from tests.jobs import new_job

pytestmark = pytest.mark.anyio
KEYS = Keys("{test}:")


async def canceling(store, *calls):
    """A job of four pictures whose cancel has not ended, after `calls`: whether each was charged, None: it is open."""
    job = new_job(n=4, unit_price=1_000, key_id="key_1")
    now = job.created_ms
    await store.create(job)
    job = await store.commit(job, moves.start(job, now))
    for index, charged in enumerate(calls):
        job = await store.commit(job, moves.intend(job, now, (index,)))
        if charged is not None:
            ended = moves.settle(job, now, index + 1, outcome="bad_response", charged=charged)
            job = await store.commit(job, ended)
    return await store.commit(job, moves.cancel(job, now, by="api"))


async def used(store):
    """Pictures and micro-dollars of the org, and of the key."""
    day = moment(now_ms())[:10]
    keys = KEYS.used_by_org("acme", day), KEYS.used_by_api_key("key_1", day)
    return [tuple(map(int, await store.redis.hmget(key, "images", "cost"))) for key in keys]


@pytest.mark.parametrize(
    ("calls", "stay"),
    [((), 0), ((False,), 0), ((True,), 1), ((None,), 1), ((True, None, False), 2)],
)
async def test_an_erased_job_gives_back_what_it_reserved_and_cannot_be_charged_any_more(store, calls, stay):
    job = await canceling(store, *calls)
    assert await used(store) == [(4, 4_000)] * 2

    await store.erase(job)
    await store.erase(job)  # its answer was lost

    assert await used(store) == [(stay, stay * 1_000)] * 2


async def test_a_job_that_has_ended_is_erased_with_its_counts_as_they_are(store):
    job = await canceling(store, *(True,))
    job = await store.commit(job, moves.stop(job, now_ms()))

    await store.erase(job)

    assert await used(store) == [(1, 1_000)] * 2


async def test_a_picture_that_a_dying_worker_may_have_stored_goes_all_the_same(store, redis_url, tmp_path):
    told = {"REDIS_URL": redis_url, "DARKROOM_REDIS_PREFIX": "{test}:", "DARKROOM_DATA_DIR": str(tmp_path)}
    secrets = {"JWT_SECRET": "s", "DARKROOM_SECRET_KEY": base64.b64encode(bytes(32)).decode()}
    app = create_app(Settings.load({**told, **secrets, "DARKROOM_DEV": "1"}, env_file=None))
    job = await canceling(store, *(True, None))

    async with app.lifespan():
        await app.state.services.eraser.erase("acme", job.id, by="tester")

    due = dict(await store.redis.zrange(KEYS.expiring_blobs, 0, -1, withscores=True))
    assert set(map(bytes.decode, due)) == set(names_of(job, 2, 1))
    assert min(due.values()) > now_ms() + 86_400_000


async def test_an_erase_on_a_record_that_has_moved_on_is_refused_and_gives_nothing_back(store):
    job = await canceling(store)
    ended = await store.commit(job, moves.stop(job, now_ms()))

    with pytest.raises(Stale):
        await store.erase(job)

    assert await store.get(job.id) == ended
    assert await used(store) == [(0, 0)] * 2
