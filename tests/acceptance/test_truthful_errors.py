"""What our own errors say of asking again, and that whoever looks at its job spends nothing of its key's rate."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.acceptance.conftest import AGENTS, JOBS
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.raw_calls import exchanged, status

FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A fox"}


@pytest.fixture(scope="module")
def client(gateway):
    with gateway.client("truth", scope="write:image-gen read:image-gen admin:image-gen") as client:
        yield client


@pytest.fixture(scope="module")
def limited(gateway, client):
    """Whoever has a key that may ask three times a minute and 50 times a day."""
    limits = {"requestsPerMinute": 3, "requestsPerDay": 50}
    made = client.post("/api/v1/keys", json={"name": "limited", "rateLimits": limits}).json()["data"]["key"]
    with httpx.Client(base_url=gateway.url, headers={"api-key": made}, timeout=60, trust_env=False) as holder:
        yield holder


def test_whoever_looks_at_its_own_job_spends_nothing_of_its_keys_rate(limited):
    made = limited.post(JOBS, json=FOX)
    job = f"{JOBS}/{made.json()['data']['id']}"
    looks = [limited.get(f"{job}?wait=20&until=terminal"), *(limited.get(job) for _ in range(8))]
    looks += [limited.get(f"{job}{part}") for part in ("/result", "/content", "/events")]
    looks += [limited.head(job), limited.get(f"/v1/images/progress/{job.rpartition('/')[2]}")]
    asked = [limited.get("/api/v1/limits") for _ in range(3)]
    again = limited.get(job)

    assert {answer.status_code for answer in looks} == {200, 302}
    assert [answer.status_code for answer in asked] == [200, 200, 429]
    refused = asked[2].json()["error"]["details"]
    assert (refused["retryable"], refused["safeToRetry"]) == (True, True)
    assert again.status_code == 200
    assert made.headers["ratelimit-policy"] == '"minute";q=3;w=60, "day";q=50;w=86400'
    assert again.headers["ratelimit-policy"] == '"looks";q=600;w=60'
    assert again.headers["ratelimit"].startswith(f'"looks";r={600 - len(looks) - 1};t=')


def test_a_batch_is_looked_at_as_a_job_is(limited):
    looks = [limited.get(f"/api/v1/batches/bat_{'0' * 30}") for _ in range(5)]

    assert {answer.status_code for answer in looks} == {404}


@pytest.mark.parametrize(
    ("method", "path", "sent", "code", "told"),
    [
        ("POST", JOBS, {"json": {**FOX, "n": 0}}, 400, (False, True)),
        ("POST", AGENTS, {"json": {**FOX, "mask": {"url": "x"}}}, 400, (False, True)),
        ("POST", JOBS, {"content": b"{}"}, 415, (False, True)),
        ("POST", JOBS, {"json": FOX, "headers": {"Authorization": "Bearer x"}}, 401, (False, True)),
        ("GET", "/api/v1/orgs/other", {}, 404, (False, True)),
        ("GET", "/nowhere", {}, 404, (False, True)),
        ("PUT", JOBS, {}, 405, (False, True)),
    ],
)
def test_every_error_of_ours_says_what_asking_again_would_do(client, method, path, sent, code, told):
    answer = client.request(method, path, **sent)

    details = answer.json()["error"]["details"]
    assert (answer.status_code, details["retryable"], details["safeToRetry"]) == (code, *told), answer.text


def test_a_problem_says_it_too_and_a_job_behind_an_error_is_not_asked_for_again(client):
    problem = client.get("/nowhere", headers={"Accept": "application/problem+json"}).json()
    key = {"Idempotency-Key": "truth", "Prefer": "respond-async"}
    client.post(JOBS, json=FOX, headers=key)
    reused = client.post(JOBS, json={**FOX, "n": 2}, headers=key).json()["error"]["details"]

    assert (problem["retryable"], problem["safeToRetry"]) == (False, True)
    assert (reused["retryable"], reused["safeToRetry"]) == (False, True)


def test_what_cannot_be_read_as_http_is_told_so_too(gateway):
    answer = exchanged(gateway, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n")

    details = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["details"]
    assert (status(answer), details) == (431, {"retryable": False, "safeToRetry": True})


def test_an_item_of_a_batch_that_is_not_accepted_says_it_too(client):
    items = client.post("/api/v1/batches", json={"items": [FOX, {**FOX, "n": 0}]}).json()["data"]["items"]

    details = items[1]["error"]["details"]
    assert (details["field"], details["retryable"], details["safeToRetry"]) == ("items[1].n", False, True)


def test_who_cannot_know_whether_it_was_done_is_told_so_unless_its_key_makes_it_safe(simulator):
    with (
        running_redis() as redis,
        running_gateway(redis.url, simulator, workers=0) as gateway,
        gateway.client() as client,
        ThreadPoolExecutor() as both,
    ):
        redis.kill()
        asked = [both.submit(client.post, JOBS, json=FOX, headers=key) for key in ({}, {"Idempotency-Key": "k"})]
        plain, keyed = [answer.result().json()["error"]["details"] for answer in asked]

    assert (plain["reason"], plain["retryable"], plain["safeToRetry"]) == ("store_unavailable", True, False)
    assert (keyed["reason"], keyed["retryable"], keyed["safeToRetry"]) == ("store_unavailable", True, True)


@pytest.mark.parametrize(
    ("provider", "model", "field", "value", "taken"),
    [
        ("azure-openai", "gpt-image-2", "quality", "xhigh", True),
        ("azure-openai", "gpt-image-2", "quality", "max", True),
        ("azure-openai", "gpt-image-2", "quality", "hd", False),
        ("azure-openai", "gpt-image-1.5", "quality", "xhigh", False),
        ("azure-openai", "dall-e-3", "quality", "hd", True),
        ("azure-openai", "dall-e-3", "size", "1536x1024", False),
        ("gemini", "gemini-3-pro-image", "size", "21:9", True),
        ("gemini", "gemini-3-pro-image", "size", "3:2", True),
        ("gemini", "gemini-3-pro-image", "size", "5:4", False),
        ("gemini", "gemini-3-pro-image", "size", "1536x1024", True),
    ],
)
def test_the_faces_agree_on_what_a_model_can_do(client, provider, model, field, value, taken):
    asked = {"model": model, "prompt": f"{model} {field} {value}", field: value}

    agents = client.post(AGENTS, json={**asked, "provider": provider})
    jobs = client.post(JOBS, json={**asked, "provider": provider}, headers={"Prefer": "wait=20"})
    openai = client.post("/v1/images/generations", json={**asked, "model": f"{provider}/{model}"})

    assert {answer.status_code for answer in (agents, jobs, openai)} == {200 if taken else 400}
    if taken:
        shapes = [jobs.json()["data"]["result"], agents.json()["data"]]
        assert len({(shape["width"], shape["height"]) for shape in shapes}) == 1
