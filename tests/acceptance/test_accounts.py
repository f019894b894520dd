"""A provider with several accounts: each has a pace and a breaker of its own, and no job pays for one that fails."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from app.simulator.server import running_simulator
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.neighbours.tcp_proxy import running_relay

JOBS = "/api/v1/jobs"
AZURE = {"provider": "azure-openai", "model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
ENGINE = {"provider": "comfyui", "model": "stable-diffusion-xl.safetensors", "size": "64x64"}
REGION = '[azure-openai.{0}]\nendpoint = "{1}"\napi_key = "key-of-{0}"\n'
SERVER = '[comfyui.{0}]\nbase_url = "{1}"\nconcurrency = 2\n'


@pytest.fixture(scope="module")
def regions():
    with running_simulator() as sweden, running_simulator() as france, running_simulator() as norway:
        yield {"sweden": sweden, "france": france, "norway": norway}


@pytest.fixture(scope="module")
def norway_relay(regions):
    with running_relay(urlsplit(regions["norway"].url).port) as relay:
        relay.shut()
        yield relay


@pytest.fixture(scope="module")
def gateway(regions, norway_relay, tmp_path_factory):
    file = tmp_path_factory.mktemp("providers") / "providers.toml"
    sweden, france = regions["sweden"].url, regions["france"].url
    azure = {"norway": f"http://127.0.0.1:{norway_relay.port}", "typo": f"{france}/no-such-path"}
    azure |= {"sweden": sweden, "france": france}
    engines = {"one": sweden, "two": france}
    tables = [*(REGION.format(*each) for each in azure.items()), *(SERVER.format(*each) for each in engines.items())]
    file.write_text("".join(tables))
    settings = {
        "DARKROOM_PROVIDERS": str(file),
        "DARKROOM_ABSORB_SECONDS": "0",
        "DARKROOM_WORKER_SLOTS": "8",
        "DARKROOM_LEASE_SECONDS": "3",
        "DARKROOM_BREAKER_FAILURES": "3",
        "DARKROOM_BREAKER_SECONDS": "1",
        "AZURE_OPENAI_IMAGE_ENDPOINT": "",
        "AZURE_OPENAI_IMAGE_API_KEY": "",
    }
    with running_redis() as redis, running_gateway(redis.url, regions["france"], **settings) as running:
        yield running


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def made(client, defaults, prompts):
    """The jobs of a batch, each as it ended."""
    batch = client.post("/api/v1/batches", json={"defaults": defaults, "items": [{"prompt": p} for p in prompts]})
    ids = [item["jobId"] for item in batch.json()["data"]["items"]]
    return [client.get(f"{JOBS}/{each}?wait=60&until=terminal").json()["data"] for each in ids]


def accounts(client, provider="azure-openai"):
    """What is told of each account, by its name."""
    providers = client.get("/api/v1/providers").json()["data"]["providers"]
    return {each["id"]: each for each in next(p for p in providers if p["id"] == provider)["accounts"]}


def test_one_region_is_throttled_one_is_dead_one_is_no_region_and_no_job_fails_or_waits_for_them(client, regions):
    regions["sweden"].bench.rate, regions["sweden"].bench.retry_after = -1, 600

    jobs = made(client, AZURE, [f"Fox {number}" for number in range(40)])

    calls = [call for region in regions.values() for call in region.bench.calls("Fox")]
    failed = [(a["account"], a["outcome"]) for job in jobs for a in job["attempts"][:-1]]
    assert [job["status"] for job in jobs] == ["succeeded"] * 40
    assert sum(call["fault"] is None for call in calls) == 40, "one picture a job was bought"
    assert not any(attempt["charged"] for job in jobs for attempt in job["attempts"][:-1])
    assert set(failed) == {
        ("azure-openai/sweden", "throttled"),
        ("azure-openai/norway", "not_sent"),
        ("azure-openai/typo", "refused"),
    }
    assert failed.count(("azure-openai/sweden", "throttled")) <= 8, "no more than were under way at the first refusal"
    told = accounts(client)
    assert told["azure-openai/sweden"]["rateLimit"]["retryAfterSeconds"] > 300
    assert told["azure-openai/typo"]["trouble"]["kind"] == "endpoint"
    assert told["azure-openai/france"]["breaker"] == {"state": "closed"}


def test_a_region_that_is_back_is_found_again(client, regions, norway_relay):
    norway_relay.open()

    def served():
        made(client, AZURE, ["A hare", "Another hare"])
        return regions["norway"].bench.calls("hare")

    wait_until(served, 60, what="a call to the region that is back")
    assert accounts(client)["azure-openai/norway"]["breaker"] == {"state": "closed"}


def test_the_runs_of_a_dead_worker_are_asked_for_at_their_own_servers_and_each_has_its_own_room(
    client, gateway, regions
):
    regions["sweden"].bench.rate = 0
    prompts = [f"[delay=3] Owl {number}" for number in range(4)]
    batch = client.post("/api/v1/batches", json={"defaults": ENGINE, "items": [{"prompt": p} for p in prompts]})
    runs = [regions[name].bench for name in ("sweden", "france")]
    wait_until(lambda: [len(bench.calls("Owl")) for bench in runs] == [2, 2], what="two runs at each")
    gateway.workers[-1].kill()
    gateway.workers.pop().wait()
    gateway.start_worker()

    ids = [item["jobId"] for item in batch.json()["data"]["items"]]
    jobs = [client.get(f"{JOBS}/{each}?wait=60&until=terminal").json()["data"] for each in ids]

    assert [job["status"] for job in jobs] == ["succeeded"] * 4
    assert [len(bench.calls("Owl")) for bench in runs] == [2, 2], "none was begun anew"
    assert sorted(a["account"] for job in jobs for a in job["attempts"]) == ["comfyui/one"] * 2 + ["comfyui/two"] * 2
