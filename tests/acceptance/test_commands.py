"""What a request asks of Redis, in commands from outside and inside scripts: bounded, whatever waits there."""

import asyncio

import pytest
from redis.asyncio import Redis

from jobs.store.jobs import RedisJobStore
from tests.batch_calls import ask, named
from tests.jobs import new_job
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_monitor import TIMED, monitored

ITEMS = 100


@pytest.fixture
def gateway(redis_url, simulator):
    """Nobody works: what is asked is asked by the API."""
    with running_gateway(redis_url, simulator, workers=0) as gateway:
        yield gateway


@pytest.fixture
def monitor(redis_url):
    with monitored(redis_url) as monitor:
        yield monitor


def asked(monitor):
    """Commands since the last time: from outside, and all that they came to."""
    outside, inside = (sum(n for name, n in each.items() if name not in TIMED) for each in monitor.counts())
    return outside - 1, outside - 1 + inside  # the mark of the monitor's own


def queued(redis_url, orgs, of_each=1):
    """Jobs that wait, of so many orgs."""

    async def fill():
        async with Redis.from_url(redis_url) as redis:
            store = RedisJobStore(redis, "{darkroom}:", "http://here")
            await asyncio.gather(*(store.create(new_job(org=f"org{o}")) for o in range(orgs) for _ in range(of_each)))

    asyncio.run(fill())


def test_numbers_of_the_queue_cost_the_same_however_many_orgs_wait(redis_url, gateway, monitor):
    costs = []
    with gateway.client() as client:
        for orgs in (3, 200):
            queued(redis_url, orgs)
            client.get("/api/v1/stats").raise_for_status()
            monitor.counts()
            stats = client.get("/api/v1/stats").json()["data"]
            costs.append(asked(monitor))

    assert stats["ready"] == 203
    assert costs[0] == costs[1]


def test_a_short_page_of_jobs_is_one_command_and_reads_no_more_than_it_shows(redis_url, gateway, monitor):
    queued(redis_url, 1, of_each=150)
    with gateway.client("org0") as client:
        client.get("/api/v1/jobs?limit=5").raise_for_status()
        monitor.counts()

        page = client.get("/api/v1/jobs?limit=5").json()["data"]
        outside, in_all = asked(monitor)

    assert len(page["jobs"]) == 5
    assert outside == 1
    assert in_all <= 10


def test_a_filtered_page_finds_what_lies_behind_others(redis_url, gateway, monitor):
    queued(redis_url, 1, of_each=150)
    with gateway.client("org0") as client:
        oldest = client.get("/api/v1/jobs?limit=100").json()["data"]["cursor"]
        monitor.counts()

        page = client.get("/api/v1/jobs?limit=5&status=succeeded").json()["data"]
        outside, _ = asked(monitor)

    assert (page["jobs"], page["cursor"]) == ([], None)
    assert oldest is not None
    assert outside == 2


def test_a_batch_is_read_in_two_commands_whatever_its_length(gateway, monitor):
    with gateway.client() as client:
        path = ask(client, named(ITEMS)).json()["data"]["urls"]["self"]
        monitor.counts()

        batch = client.get(path).json()["data"]
        outside, in_all = asked(monitor)

    assert batch["counts"]["queued"] == ITEMS
    assert outside == 2
    assert in_all <= ITEMS + 10
