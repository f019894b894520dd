"""Blobs whose time has come, and a store that deletes slowly, or not at all."""

import pytest
import redis

from tests.neighbours import wait_until
from tests.neighbours.blob_proxy import running_blob_proxy
from tests.neighbours.gateway import running_gateway

JOBS = "/api/v1/jobs"
FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox"}
EXPIRING = "{darkroom}:expiring_blobs"


@pytest.fixture
def proxy(azurite):
    with running_blob_proxy(azurite.port) as proxy:
        yield proxy


@pytest.fixture
def told(azurite, proxy):
    return {
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string.replace(str(azurite.port), str(proxy.port)),
        "AZURE_STORAGE_CONTAINER": "expiring",
        "DARKROOM_LEASE_SECONDS": "3",
    }


def have_expire(redis_url, names):
    with redis.Redis.from_url(redis_url) as admin:
        admin.zadd(EXPIRING, {name: at for at, name in enumerate(names, 1)})


def expiring(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as admin:
        return admin.zrange(EXPIRING, 0, -1)


@pytest.mark.parametrize("deleting", [(1, 60.0), (100, 1.0)], ids=["one hangs", "a hundred are slow"])
def test_a_store_that_is_slow_to_delete_costs_no_healthy_worker_its_jobs(redis_url, simulator, proxy, told, deleting):
    names, seconds = deleting
    proxy.verdict = lambda method, _: seconds if method == "DELETE" else None
    with running_gateway(redis_url, simulator, **told) as gateway, gateway.client() as client:
        job_id = client.post(JOBS, json={**FOX, "prompt": "[delay=12] A red fox"}).json()["data"]["id"]
        wait_until(lambda: simulator.bench.calls() != [], what="the call")
        have_expire(redis_url, [f"images/acme/old/{number}.png" for number in range(names)])
        wait_until(lambda: proxy.count("DELETE") > 0, what="the sweep")
        gateway.start_worker()
        job = client.get(f"{JOBS}/{job_id}?wait=40&until=terminal").json()["data"]

    assert (job["status"], [a["outcome"] for a in job["attempts"]]) == ("succeeded", ["succeeded"])
    assert len(simulator.bench.calls()) == 1


def test_one_blob_that_cannot_be_deleted_keeps_no_other(redis_url, simulator, proxy, told):
    stubborn, names = "images/acme/stubborn.png", [f"images/acme/old/{number}.png" for number in range(1_000)]
    proxy.verdict = lambda method, path: (403 if "stubborn" in path else 202) if method == "DELETE" else None
    with running_gateway(redis_url, simulator, workers=2, **told):
        have_expire(redis_url, [stubborn, *names])
        wait_until(lambda: proxy.count("DELETE") > 0, what="the sweep")
        wait_until(lambda: expiring(redis_url) == [stubborn], what="the end of all others")

    assert proxy.count("DELETE", "/old/") == len(names)
    assert proxy.count("DELETE", "stubborn") < 5


def test_a_job_that_is_erased_while_the_store_is_away_leaves_no_picture(redis_url, simulator, proxy, told):
    with running_gateway(redis_url, simulator, **told) as gateway, gateway.client() as client:
        job = client.post(JOBS, json=FOX, headers={"Prefer": "wait=30"}).json()["data"]
        name = job["result"]["url"].partition("/expiring/")[2]
        proxy.verdict = lambda *_: 503
        erased = client.delete(f"{JOBS}/{job['id']}")
        left = expiring(redis_url)
        proxy.verdict = lambda *_: None
        proxy.seen.clear()
        with redis.Redis.from_url(redis_url) as admin:  # as after the lease of a sweep that did not succeed
            admin.zadd(EXPIRING, dict.fromkeys(left, 1))
        wait_until(lambda: expiring(redis_url) == [], what="the sweep")
        gone = client.get(f"{JOBS}/{job['id']}")

    assert (erased.status_code, gone.status_code) == (204, 410)
    assert name in left
    assert proxy.count("DELETE", name) == 1
