"""Gemini and Imagen in a project of Vertex AI: where they are asked, and with which token."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from jobs.errors import ProviderError
from jobs.model.picture import Picture
from jobs.providers.google.gemini import Gemini
from jobs.providers.google.imagen import Imagen
from jobs.providers.google.vertex import GoogleTokens, Vertex
from tests.neighbours.scripted_provider import MODELS, failure, order, response, running_far_end, success

pytestmark = pytest.mark.anyio
PNG = b"\x89PNG\r\n\x1a\n, and so on"
MAKERS = {"gemini": Gemini, "imagen": Imagen}
METHODS = {"gemini": "generateContent", "imagen": "predict"}


@pytest.fixture
def given():
    """The tokens that were given, by whoever plays Google's token endpoint; `[None]`: it is away."""
    return []


@pytest.fixture(autouse=True)
def _credentials(given, tmp_path, monkeypatch):
    """A service account's file, whose tokens are had at an endpoint of our own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            away = given == [None]
            token = f"token-{len(given) + 1}"
            told = {"error": "invalid_grant"} if away else {"access_token": token, "expires_in": 3600}
            given.extend([] if away else [token])
            body = json.dumps(told).encode()
            self.send_response(400 if away else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    pem = rsa.generate_private_key(65_537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "darkroom@p.iam.gserviceaccount.com",
        "token_uri": f"http://127.0.0.1:{server.server_address[1]}/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    yield
    server.shutdown()
    server.server_close()


async def called(provider, url, tokens, times=1):
    """What comes of so many calls at once."""
    vertex = Vertex(project="my-project", location="us-central1")
    client = MAKERS[provider](api_key="", base_url=url, vertex=vertex, tokens=tokens)
    await client.open()

    async def call():
        return [step async for step in client.generate(order(provider))]

    try:
        return await asyncio.gather(*(call() for _ in range(times)))
    finally:
        await client.close()


@pytest.mark.parametrize("provider", MAKERS)
async def test_a_project_is_called_at_its_location_by_one_token_for_all_and_no_key(provider, given):
    async with running_far_end(response(200, success(provider, PNG))) as far:
        calls = await called(provider, far.url, GoogleTokens(), times=5)

    place = "/v1beta1/projects/my-project/locations/us-central1/publishers/google/models"
    assert all(any(isinstance(step, Picture) for step in steps) for steps in calls)
    assert {asked.path for asked in far.asked} == {f"{place}/{MODELS[provider]}:{METHODS[provider]}"}
    assert {asked.headers["authorization"] for asked in far.asked} == {"Bearer token-1"}
    assert not any("x-goog-api-key" in asked.headers for asked in far.asked)
    assert given == ["token-1"]


@pytest.mark.parametrize("provider", MAKERS)
async def test_without_a_token_nothing_is_sent(provider, given):
    given.append(None)
    async with running_far_end() as far:
        with pytest.raises(ProviderError) as caught:
            await called(provider, far.url, GoogleTokens())

    assert (far.asked, caught.value.outcome, caught.value.trouble) == ([], "not_sent", "credential")


@pytest.mark.parametrize("provider", MAKERS)
async def test_a_token_that_is_not_taken_is_not_sent_again(provider, given):
    tokens = GoogleTokens()
    async with running_far_end(response(401, failure(provider, 401, "Invalid credentials"))) as far:
        for _ in range(2):
            with pytest.raises(ProviderError, match="credential"):
                await called(provider, far.url, tokens)

    assert [asked.headers["authorization"] for asked in far.asked] == ["Bearer token-1", "Bearer token-2"]
    assert given == ["token-1", "token-2"]


@pytest.mark.parametrize(
    ("location", "base"),
    [("global", "https://aiplatform.googleapis.com"), ("us-central1", "https://us-central1-aiplatform.googleapis.com")],
)
def test_each_location_has_its_own_host(location, base):
    assert Vertex(project="p", location=location).base_url == base
