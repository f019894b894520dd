"""A Redis that answers and refuses what it is asked: nothing dies of it, callers are told 503, and it all goes on."""

import pytest
import redis

from tests.neighbours import free_port, wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.neighbours.webhook_receiver import running_receiver

FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox"}
LOOPBACK = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "DARKROOM_WEBHOOK_SCHEDULE": "0" + ",1" * 60}
REFUSALS = 8
"""So many refused commands have come from every task of a worker, and more than once."""


def a_replica(admin, _):
    """As one is whose clients have not heard of a failover."""
    admin.replicaof("127.0.0.1", free_port())
    return lambda: admin.replicaof("NO", "ONE")


def without_its_replicas(admin, _):
    admin.config_set("min-replicas-to-write", 1)
    return lambda: admin.config_set("min-replicas-to-write", 0)


def that_cannot_save(_, server):
    server.refuse_writes()
    return server.take_writes


def that_permits_no_scripts(admin, _):
    admin.acl_setuser("default", enabled=True, nopass=True, commands=["-evalsha"])
    return lambda: admin.acl_setuser("default", enabled=True, nopass=True, commands=["+evalsha"])


@pytest.mark.parametrize(
    "broken", [a_replica, without_its_replicas, that_cannot_save, that_permits_no_scripts], ids=lambda how: how.__name__
)
def test_every_task_of_a_worker_outlives_a_redis_that_refuses_and_callers_are_told_503(simulator, broken):
    mended = []
    with (
        running_redis() as server,
        running_receiver(lambda _, __: 200 if mended else 500) as receiver,
        running_gateway(server.url, simulator, DARKROOM_LEASE_SECONDS="4", **LOOPBACK) as gateway,
        gateway.client() as client,
        redis.Redis.from_url(server.url) as admin,
    ):
        told = {**FOX, "webhook": {"url": receiver.url}}
        before = client.post("/api/v1/jobs", json=told).json()["data"]["id"]
        receiver.until(1)
        mend = broken(admin, server)
        refused = client.post("/api/v1/jobs", json=FOX)
        enough = refusals(admin) + REFUSALS
        wait_until(lambda: refusals(admin) >= enough, what="the refusals")
        mend()
        mended.append(True)
        after = client.post("/api/v1/jobs", json=told).json()["data"]["id"]
        wait_until(lambda: posted(receiver) >= {before, after}, what="the webhooks of both jobs")
        alive = [gateway.api.poll(), gateway.workers[0].poll()]

    error = refused.json()["error"]
    assert (refused.status_code, error["details"]["reason"]) == (503, "store_unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert alive == [None, None]


def refusals(admin):
    return admin.info("stats")["total_error_replies"]


def posted(receiver):
    return {post.event["data"]["id"] for post in receiver.posts if post.event["type"] == "image.job.succeeded"}
