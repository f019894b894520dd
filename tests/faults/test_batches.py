"""A batch whose acceptance is cut short: no item is lost, and none is bought twice."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis

from jobs.redis.keys import Keys
from tests.batch_calls import BATCHES, ask, ended, lines, look, named, nonzero
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

ORG = Keys("{darkroom}:").jobs_of_org("acme")


@pytest.fixture
def idle(redis_url, simulator):
    """A gateway in which nothing runs until a worker is started."""
    with running_gateway(redis_url, simulator, workers=0) as gateway:
        yield gateway


def cut_short(gateway, client, redis_url, prompts, key):
    """Ask, kill the API once it has created some of the jobs, start it again: how many there are."""

    def ask_in_vain():
        with pytest.raises(httpx.HTTPError):
            ask(client, prompts, key=key)

    with redis.Redis.from_url(redis_url) as store, ThreadPoolExecutor() as pool:
        asked = pool.submit(ask_in_vain)
        while not store.zcard(ORG):
            assert not asked.done()
        gateway.api.kill()
        asked.result(10)
        created = store.zcard(ORG)
    gateway.start_api()
    return created


def test_an_api_killed_in_the_middle_of_a_post_loses_and_doubles_no_item(idle, redis_url, simulator):
    prompts, key = named(200), "once and for all"
    with idle.client() as client:
        created = cut_short(idle, client, redis_url, prompts, key)
        (listed,) = client.get(BATCHES).json()["data"]["batches"]
        half = look(client, listed)
        repeated = ask(client, prompts, key=key)
        idle.start_worker()
        batch = ended(client, listed)
        told = lines(client, batch)

    assert 1 <= created < 200
    assert (half["status"], half["counts"]["pending"], half["counts"]["queued"]) == (
        "accepting",
        200 - created,
        created,
    )
    assert (repeated.status_code, repeated.json()["data"]["id"]) == (200, listed["id"])
    assert nonzero(batch) == {"total": 200, "accepted": 200, "succeeded": 200}
    assert [line["index"] for line in told] == list(range(200))
    assert sorted(call["prompt"] for call in simulator.bench.calls()) == sorted(prompts)


def test_a_canceled_batch_that_a_crash_left_half_done_is_not_completed(idle, redis_url):
    prompts, key = named(200), "half"
    with idle.client() as client, redis.Redis.from_url(redis_url) as store:
        created = cut_short(idle, client, redis_url, prompts, key)
        (listed,) = client.get(BATCHES).json()["data"]["batches"]

        canceled = client.post(f"{BATCHES}/{listed['id']}/cancel")
        ask(client, prompts, key=key).raise_for_status()

        assert canceled.status_code == 200
        assert nonzero(look(client, listed)) == {"total": 200, "accepted": 200, "canceled": 200}
        assert store.zcard(ORG) == created < 200


def test_a_batch_canceled_while_it_is_being_accepted_leaves_nothing_alive(idle):
    with idle.client() as client, ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, client, named(300))
        wait_until(lambda: client.get(BATCHES).json()["data"]["batches"], what="the batch")
        (listed,) = client.get(BATCHES).json()["data"]["batches"]

        canceled = client.post(f"{BATCHES}/{listed['id']}/cancel")
        answer = asked.result(30)

        assert (canceled.status_code, answer.status_code) == (200, 202)
        assert answer.json()["data"]["status"] == "canceled"
        assert nonzero(look(client, listed)) == {"total": 300, "accepted": 300, "canceled": 300}


def test_a_redis_killed_in_the_middle_of_a_post_is_503_with_the_batch_and_the_key_completes_it(simulator):
    prompts, key = named(200), "away"
    with (
        running_redis() as server,
        running_gateway(server.url, simulator, workers=0) as gateway,
        gateway.client() as client,
        ThreadPoolExecutor() as pool,
    ):
        asked = pool.submit(ask, client, prompts, key=key)
        with redis.Redis.from_url(server.url) as store:
            while not store.zcard(ORG):
                assert not asked.done()
        server.kill()
        refused = asked.result(30)
        server.start()
        wait_until(gateway.ready, what="readiness")
        named_batch = {"id": refused.json()["error"]["details"]["batchId"]}
        half = look(client, named_batch)
        repeated = ask(client, prompts, key=key)
        gateway.start_worker()
        batch = ended(client, named_batch)

    assert (refused.status_code, refused.json()["error"]["details"]["reason"]) == (503, "store_unavailable")
    assert half["status"] == "accepting"
    assert 1 <= half["counts"]["accepted"] < 200
    assert (repeated.status_code, repeated.json()["data"]["id"]) == (200, batch["id"])
    assert nonzero(batch) == {"total": 200, "accepted": 200, "succeeded": 200}
    assert sorted(call["prompt"] for call in simulator.bench.calls()) == sorted(prompts)
