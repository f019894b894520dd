"""`darkroom config check`: what it can say of a Redis, and what it could not look at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.neighbours import free_port
from tests.neighbours.gateway import environment
from tests.neighbours.redis_server import running_redis

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server():
    with running_redis() as server:
        yield server


def found(url, simulator, folder, about="redis", **settings):
    """Of Redis, or something else: the texts by their level, and the exit code."""
    command = [sys.executable, "-m", "app.cli", "config", "check", "--json"]
    told = environment(url, simulator, str(folder), 8000, **settings)
    child = subprocess.run(command, env=told, capture_output=True, text=True, check=False, timeout=100)
    levels = {"ok": [], "warning": [], "error": []}
    for finding in json.loads(child.stdout):
        if finding["about"] == about:
            levels[finding["level"]].append(finding["text"])
    return levels, child.returncode


def test_a_redis_that_keeps_what_it_is_told_is_well(server, simulator, tmp_path):
    levels, code = found(server.url, simulator, tmp_path)

    assert (levels["warning"], levels["error"], code) == ([], [], 0)
    assert any("appendfsync is always" in text for text in levels["ok"])


def test_of_a_managed_redis_it_says_what_it_could_not_look_at(server, simulator, tmp_path):
    with redis.Redis.from_url(server.url) as admin:
        admin.acl_setuser("default", enabled=True, nopass=True, commands=["-config"])
    levels, code = found(server.url, simulator, tmp_path)

    assert (levels["error"], code) == ([], 0)
    assert any(text.startswith("answers") for text in levels["ok"])
    (text,) = levels["warning"]
    assert all(name in text for name in ("CONFIG", "appendonly", "appendfsync", "maxmemory-policy"))


def test_a_redis_that_is_away_is_an_error(simulator, tmp_path):
    levels, code = found(f"redis://127.0.0.1:{free_port()}/0", simulator, tmp_path)

    assert code == 1
    assert len(levels["error"]) == 1


@pytest.mark.parametrize(
    ("wanted", "level", "says"),
    [
        ("0", "warning", "DARKROOM_INTENT_REPLICAS"),
        ("1", "ok", "no paid call is made before 1 of its 1 replicas know of it"),
        ("2", "error", "DARKROOM_INTENT_REPLICAS"),
    ],
)
def test_it_says_what_a_failover_to_a_replica_can_lose(server, simulator, tmp_path, *, wanted, level, says):
    with running_redis() as replica:
        replica.follow(server)
        levels, _ = found(server.url, simulator, tmp_path, DARKROOM_INTENT_REPLICAS=wanted)
        of_the_replica, code = found(replica.url, simulator, tmp_path)

    assert any(says in text for text in levels[level])
    assert code == 1
    assert any("is a replica" in text for text in of_the_replica["error"])


@pytest.mark.parametrize(
    ("seconds", "level", "says"), [(0, "ok", "is that of Redis"), (-600, "warning", "600 s behind that of Redis")]
)
def test_it_says_by_how_much_the_clock_of_the_host_is_off(server, simulator, tmp_path, *, seconds, level, says):
    path = f"{ROOT / 'tests/fixtures/clock'}:{ROOT}"
    shifted = {"PYTHONPATH": path, "CLOCK_SHIFT_SECONDS": str(seconds)}
    levels, code = found(server.url, simulator, tmp_path, about="clock", **shifted)

    (text,) = levels[level]
    assert (says in text, code) == (True, 0)
