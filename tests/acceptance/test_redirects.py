"""Providers that send a paid call elsewhere: the job ends with the reason, and nobody else hears of it."""

import pytest

from tests.acceptance.conftest import JOBS
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.neighbours.webhook_receiver import Receiver

MODELS = {"azure-openai": "gpt-image-2", "openai": "gpt-image-2", "gemini": "gemini-2.5-flash-image"}


@pytest.fixture(scope="module")
def elsewhere():
    receiver = Receiver(lambda *_: 200)
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def moved(elsewhere):
    receiver = Receiver(lambda *_: (307, {"Location": elsewhere.url}, b""))
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def gateway(shared_simulator, moved):
    base = moved.url.removesuffix("/hook")
    settings = {
        "AZURE_OPENAI_IMAGE_ENDPOINT": base,
        "OPENAI_BASE_URL": f"{base}/v1",
        "GOOGLE_GEMINI_BASE_URL": base,
    }
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, **settings) as running:
        yield running


@pytest.mark.parametrize("provider", MODELS)
def test_a_job_whose_provider_has_moved_fails_after_one_call_that_nobody_else_hears(
    gateway, moved, elsewhere, provider
):
    before = len(moved.posts)
    with gateway.client() as client:
        asked = {"provider": provider, "model": MODELS[provider], "prompt": "A mug"}
        url = f"{JOBS}/{client.post(JOBS, json=asked).json()['data']['id']}"
        wait_until(lambda: client.get(url).json()["data"]["status"] == "failed")
        job = client.get(url).json()["data"]

    assert (job["error"]["code"], job["error"]["details"]["reason"]) == ("SERVICE_UNAVAILABLE", "provider_unavailable")
    assert "answered 307" in job["error"]["message"]
    assert len(job["attempts"]) == 1
    assert len(moved.posts) - before == 1
    assert elsewhere.posts == []
