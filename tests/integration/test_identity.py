"""Tokens of our own identity: asked for once by all who call, renewed once, and never the reason for a second call."""

import asyncio
import time

import pytest

from jobs.errors import ProviderError
from jobs.identity import Identity, NoToken
from jobs.providers.openai.azure import SCOPE, AzureOpenAI
from tests.neighbours.identity_endpoint import running_identity_endpoint
from tests.neighbours.scripted_provider import failure, order, response, running_far_end, success

pytestmark = pytest.mark.anyio
PNG = b"\x89PNG\r\n\x1a\n, and so on"


@pytest.fixture
def endpoint(monkeypatch):
    with running_identity_endpoint() as endpoint:
        for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        yield endpoint


@pytest.fixture
async def identity(endpoint):
    identity = Identity()
    identity.open()
    assert endpoint.asked == []
    yield identity
    await identity.close()


async def called(identity, url, **more):
    """What comes of one call of Azure OpenAI with the identity."""
    azure = AzureOpenAI(endpoint=url, api_key="", api_version="2025-04-01-preview", identity=identity, **more)
    await azure.open()
    try:
        return [step async for step in azure.generate(order("azure-openai"))]
    finally:
        await azure.close()


async def test_a_hundred_who_ask_at_once_are_given_one_token_and_one_more_when_it_has_ended(identity, endpoint):
    endpoint.lives = [3]
    first = set(await asyncio.gather(*(identity.token(SCOPE) for _ in range(100))))
    await asyncio.sleep(max(endpoint.ends.values()) + 0.1 - time.time())  # its end

    second = set(await asyncio.gather(*(identity.token(SCOPE) for _ in range(100))))

    assert (len(first), len(second), first & second) == (1, 1, set())
    assert endpoint.asked == ["https://cognitiveservices.azure.com"] * 2


async def test_azure_is_called_with_a_token_and_no_key_at_the_deployment_of_the_model(identity):
    async with running_far_end(response(200, success("azure-openai", PNG))) as far:
        await called(identity, far.url, deployments={"gpt-image-2": "prod-image"})

    (asked,) = far.asked
    assert asked.headers["authorization"] == f"Bearer {await identity.token(SCOPE)}"
    assert "api-key" not in asked.headers
    assert asked.path.startswith("/openai/deployments/prod-image/images/generations?")
    assert asked.json["model"] == "prod-image"


async def test_a_token_that_azure_does_not_take_is_not_sent_again(identity, endpoint):
    async with running_far_end(response(401, failure("azure-openai", 401, "Token expired"))) as far:
        for _ in range(2):
            with pytest.raises(ProviderError) as caught:
                await called(identity, far.url)

    first, second = (asked.headers["authorization"] for asked in far.asked)
    assert first != second
    assert (caught.value.outcome, caught.value.trouble, endpoint.tokens("")) == ("refused", "credential", 2)


async def test_without_a_token_nothing_is_sent(identity, endpoint):
    endpoint.away = True
    async with running_far_end() as far:
        with pytest.raises(ProviderError) as caught:
            await called(identity, far.url)

    assert (far.asked, caught.value.outcome, caught.value.trouble) == ([], "not_sent", "credential")
    with pytest.raises(NoToken):
        await identity.token(SCOPE)
