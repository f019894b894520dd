"""A gateway without a key of Azure's: its own identity calls Azure OpenAI and keeps pictures in private."""

from __future__ import annotations

import ssl
import time

import httpx
import pytest

from app.simulator.server import running_simulator
from tests.neighbours import wait_until
from tests.neighbours.azurite import running_azurite
from tests.neighbours.gateway import running_gateway
from tests.neighbours.identity_endpoint import certificate, running_identity_endpoint
from tests.neighbours.redis_server import running_redis

AZURE = {"provider": "azure-openai", "model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
REGION = '[azure-openai.{0}]\nendpoint = "{1}"\nidentity = true\napi_version = "2025-04-01-preview"\n'
LIFE = 4


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def endpoint():
    with running_identity_endpoint() as endpoint:
        endpoint.lives = [LIFE]
        yield endpoint


@pytest.fixture(scope="module")
def regions():
    with running_simulator() as sweden, running_simulator() as france:
        yield sweden, france


@pytest.fixture(scope="module")
def gateway(authority, endpoint, regions, tmp_path_factory):
    file = tmp_path_factory.mktemp("providers") / "providers.toml"
    file.write_text("".join(REGION.format(f"region{n}", region.url) for n, region in enumerate(regions)))
    with running_azurite(authority) as azurite, running_redis() as redis:
        settings = {
            **endpoint.environment,
            "DARKROOM_PROVIDERS": str(file),
            "DARKROOM_CA_FILE": str(authority[0]),
            "AZURE_STORAGE_ACCOUNT_URL": azurite.url,
            "AZURE_STORAGE_PUBLIC": "",
            "AZURE_OPENAI_IMAGE_ENDPOINT": "",
            "AZURE_OPENAI_IMAGE_API_KEY": "",
        }
        with running_gateway(redis.url, regions[0], **settings) as running:
            yield running


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def made(client, prompt, **more):
    asked = {**AZURE, "prompt": prompt, **more}
    return client.post("/api/v1/jobs", json=asked, headers={"Prefer": "wait=60"}).json()["data"]


def test_a_picture_lies_in_a_private_container_and_its_link_is_signed_with_a_key_lent_to_the_identity(
    client, authority
):
    url = made(client, "A private fox")["result"]["url"]

    with httpx.Client(verify=ssl.create_default_context(cafile=authority[0]), trust_env=False) as anybody:
        refused = anybody.get(url.partition("?")[0])

    # Azurite does not know yet how this version of the wire signs such a link: what it says is read here instead.
    signed = httpx.URL(url).params
    assert refused.status_code in {403, 404}
    assert (signed["sp"], signed["sr"], signed["sks"]) == ("r", "b", "b")
    assert signed["skoid"] == "23657296-5cd5-45b0-a809-d972a7f4dfe1"
    assert signed["se"] <= signed["ske"]


def test_a_picture_is_read_again_by_the_identity(client):
    url = made(client, "A fox to edit")["result"]["url"]

    edited = made(client, "The same fox in winter", referenceImage={"url": url, "mimeType": "image/png"})

    assert edited["status"] == "succeeded"


def test_a_token_that_expires_is_renewed_once_for_all_regions_and_calls(client, endpoint, regions):
    made(client, "The first")
    first = time.time()
    wait_until(lambda: time.time() > first + LIFE + 1, what="the end of the first token")

    items = [{"prompt": f"Fox {number}"} for number in range(20)]
    batch = client.post("/api/v1/batches", json={"defaults": AZURE, "items": items}).json()["data"]
    ids = [item["jobId"] for item in batch["items"]]
    ended = [client.get(f"/api/v1/jobs/{each}?wait=60&until=terminal").json()["data"]["status"] for each in ids]

    assert ended == ["succeeded"] * 20
    assert all(region.bench.calls("Fox") for region in regions)
    assert endpoint.tokens("cognitiveservices") == 2
