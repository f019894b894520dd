"""What an operator's probes are told: whether the API can serve, whether anybody works, and whether a worker does."""

import subprocess
import sys

import httpx
import pytest

from tests.neighbours import free_port, wait_until
from tests.neighbours.gateway import running_gateway


@pytest.fixture
def gateway(redis_url, simulator):
    with running_gateway(redis_url, simulator, DARKROOM_LEASE_SECONDS="2") as gateway:
        yield gateway


def health_of_the_worker(gateway, **settings):
    command = [sys.executable, "-m", "app.cli", "healthcheck", "--worker"]
    told = {**gateway.environment, **settings}
    return subprocess.run(command, env=told, capture_output=True, text=True, check=False, timeout=100)


def test_without_a_living_worker_the_api_is_degraded_and_still_to_be_routed_to(gateway):
    before = httpx.get(f"{gateway.url}/readyz")
    gateway.workers[0].kill()

    wait_until(lambda: httpx.get(f"{gateway.url}/readyz").json() != before.json(), what="the end of the lease")
    after = httpx.get(f"{gateway.url}/readyz")

    assert (before.status_code, before.json()) == (200, {"status": "ready"})
    assert (after.status_code, after.json()) == (200, {"status": "degraded", "workers": 0})


def test_a_worker_is_healthy_as_long_as_it_renews_its_lease(gateway):
    alive = health_of_the_worker(gateway)
    gateway.workers[0].kill()
    wait_until(lambda: health_of_the_worker(gateway).returncode, what="the end of the lease")
    dead = health_of_the_worker(gateway)

    assert alive.returncode == 0
    assert (dead.returncode, dead.stderr.count("\n")) == (1, 1)
    assert "no worker of this host" in dead.stderr


def test_a_worker_whose_redis_is_away_is_not_to_be_started_again_for_that(gateway):
    away = health_of_the_worker(gateway, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")

    assert away.returncode == 0
    assert "the worker waits for it" in away.stdout
