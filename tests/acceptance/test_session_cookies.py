"""A browser's session cookie at a running gateway: whose requests it carries, and from which pages."""

import pytest

from app.http.input_images import EXAMPLE_PICTURE
from tests.acceptance.conftest import JOBS, MUG
from tests.neighbours.front_end import SECRET, header, running_front_end
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

IMAGE = "/api/image"
NO_KEY = "GEMINI_API_KEY not configured. Please add GEMINI_API_KEY to your .env.local file"
DRY = f"{JOBS}?dryRun=true"
FRONT_END = "https://app.example.com"


@pytest.fixture(scope="module")
def front_end():
    with running_front_end("authjs") as running:
        yield running


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    settings = {"AUTH_SECRET": SECRET, "NEXTAUTH_URL": FRONT_END, "GOOGLE_API_KEY": ""}
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, workers=0, **settings) as running:
        yield running


@pytest.fixture
def browser(gateway, front_end):
    with gateway.client() as client:
        client.headers.pop("Authorization")
        client.headers["Cookie"] = header(front_end.sign_in("alice@example.com", below="/secure"))
        yield client


@pytest.mark.parametrize(
    "headers", [{"Origin": FRONT_END}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}]
)
def test_pages_of_the_front_end_and_programs_write_with_a_session(browser, headers):
    assert browser.post(DRY, json=MUG, headers=headers).status_code == 200


def test_a_page_of_the_gateway_itself_writes_with_a_session(browser, gateway):
    assert browser.post(DRY, json=MUG, headers={"Origin": gateway.url}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://app.example.com"},
        {"Origin": "https://app.example.com.evil.example"},
        {"Origin": "https://app.example.com:8443"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_foreign_page_writes_nothing_with_a_session(browser, headers):
    refused = browser.post(DRY, json=MUG, headers=headers)

    assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (403, "Origin")
    assert browser.get(JOBS, headers=headers).status_code == 200


def test_a_token_may_be_sent_from_any_page(gateway):
    with gateway.client() as client:
        assert client.post(DRY, json=MUG, headers={"Origin": "https://evil.example"}).status_code == 200


def test_a_session_may_neither_manage_keys_nor_name_another_org(browser):
    assert browser.get("/api/v1/keys").status_code == 403
    assert browser.get(JOBS, headers={"X-Org-ID": "acme"}).status_code == 403


def test_without_a_key_the_image_face_says_so_after_all_else(browser):
    bodies = [{}, {"images": [EXAMPLE_PICTURE]}, {"images": [EXAMPLE_PICTURE], "prompt": "A fox"}]

    told = [browser.post(IMAGE, json=body) for body in bodies]

    assert [answer.status_code for answer in told] == [400, 400, 500]
    assert [answer.json()["error"] for answer in told] == ["No images provided", "No prompt provided", NO_KEY]
