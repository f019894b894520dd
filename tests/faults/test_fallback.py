"""A job whose provider cannot serve it goes on at the next, and never after a call that may have been charged."""

import asyncio

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from app.main import create_app
from jobs.client.submission import Submission
from jobs.model.choices import OnAmbiguous
from jobs.model.job import Options
from jobs.model.request import ImageRequest
from jobs.redis.keys import Keys
from jobs.settings import Settings
from jobs.store.breaker import Breaker
from tests.neighbours import free_port, wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

JOBS = "/api/v1/jobs"
AZURE, OPENAI, GEMINI = "azure-openai/gpt-image-2", "openai/gpt-image-2", "gemini/gemini-3-pro-image"
MISNAMED = f"azure-openai/no-such-deployment|{GEMINI}"
SMALL = f"{AZURE}|openai/dall-e-2|{GEMINI}"
ROUTES = (
    f"pair={AZURE}|{GEMINI},small={SMALL},misnamed={MISNAMED},three={AZURE}|{GEMINI}|{OPENAI},keyless={OPENAI}|{GEMINI}"
)


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, DARKROOM_ROUTES=ROUTES) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_pace_yet(gateway):
    """Nobody has refused a call for its rate, or said when to come back."""
    keys = Keys("{darkroom}:")
    with SyncRedis.from_url(gateway.environment["REDIS_URL"]) as known:
        known.delete(*(keys.pace(provider) for provider in ("azure-openai", "openai", "gemini")))


@pytest.fixture(scope="module")
def broken(shared_simulator):
    """Nobody listens where Azure should be, and OpenAI does not know our key."""
    wrong = {"AZURE_OPENAI_IMAGE_ENDPOINT": f"http://127.0.0.1:{free_port()}", "OPENAI_API_KEY": "wrong"}
    with (
        running_redis() as redis,
        running_gateway(redis.url, shared_simulator, DARKROOM_ROUTES=ROUTES, **wrong) as running,
    ):
        yield running


def submit(gateway, route, prompt, options=None, **fields):
    """The id of a job of that route, asked for as a face does that knows models and no providers."""

    async def submitted():
        app = create_app(Settings.load(gateway.environment, env_file=None))
        async with app.lifespan():
            first, *others = app.state.services.router.targets(route)
            request = ImageRequest(provider=first.provider, model=first.model, prompt=prompt, **fields)
            submission = Submission(
                org="acme",
                subject="tester",
                face="openai",
                request=request,
                options=options or Options(),
                fallbacks=tuple(others),
            )
            return (await app.state.services.submitter.submit(submission)).job.id

    return asyncio.run(submitted())


def ended(gateway, job_id):
    with gateway.client() as client:
        return client.get(f"{JOBS}/{job_id}?wait=30&until=terminal").json()["data"]


def run(gateway, *asked, **fields):
    return ended(gateway, submit(gateway, *asked, **fields))


def told(job):
    """Whom each call went to, and what became of it."""
    return [(a["provider"], a["model"], a["outcome"], a.get("charged")) for a in job["attempts"]]


def called(shared_simulator, prompt):
    return [call["wire"] for call in shared_simulator.bench.calls(prompt)]


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [("[503x1] [retry-after=60]", "throttled"), ("[429x1] [retry-after=60]", "throttled"), ("[500x1]", "refused")],
)
def test_a_provider_that_answers_that_it_cannot_is_left_at_once_for_the_next(gateway, shared_simulator, fault, outcome):
    prompt = f"{fault} A fox that goes on"
    job = run(gateway, "pair", prompt)

    assert job["status"] == "succeeded"
    assert told(job) == [
        ("azure-openai", "gpt-image-2", outcome, False),
        ("gemini", "gemini-3-pro-image", "succeeded", True),
    ]
    assert called(shared_simulator, prompt) == ["azure-openai", "gemini"]
    assert (job["request"]["provider"], job["result"]["provider"], job["billing"]["state"]) == (
        "gemini", "gemini", "billed",
    )  # fmt: skip
    (warning,) = [w["message"] for w in job["warnings"] if w["code"] == "fallback"]
    assert "azure-openai (gpt-image-2)" in warning
    assert "gemini (gemini-3-pro-image)" in warning


@pytest.mark.parametrize(("route", "outcome"), [("pair", "not_sent"), ("keyless", "refused")])
def test_a_provider_out_of_reach_and_one_that_refuses_our_key_are_left_for_the_next(
    broken, shared_simulator, route, outcome
):
    prompt = f"A fox behind {route}"
    job = run(broken, route, prompt)

    assert job["status"] == "succeeded"
    assert [a[2:] for a in told(job)] == [(outcome, False), ("succeeded", True)]
    assert called(shared_simulator, prompt) == ["gemini"]


@pytest.mark.parametrize("fault", ["drop", "502", "504", "badjson"])
def test_after_a_call_of_unknown_outcome_nobody_else_is_called(gateway, shared_simulator, fault):
    prompt = f"[{fault}x1] A fox that may have been bought"
    job = run(gateway, "pair", prompt)

    assert (job["status"], job["error"]["details"]["reason"]) == ("failed", "outcome_unknown")
    assert called(shared_simulator, prompt) == ["azure-openai"]


def test_an_unknown_outcome_that_may_be_tried_again_is_tried_where_it_was(gateway, shared_simulator):
    prompt = "[dropx1] A fox to be tried again"
    job = run(gateway, "pair", prompt, Options(on_ambiguous=OnAmbiguous.RETRY))

    assert job["status"] == "succeeded"
    assert called(shared_simulator, prompt) == ["azure-openai", "azure-openai"]


@pytest.mark.parametrize(("fault", "reason"), [("refuse", "content_policy"), ("empty", "provider_bad_response")])
def test_what_a_provider_refuses_to_draw_or_has_charged_for_goes_to_nobody_else(
    gateway, shared_simulator, fault, reason
):
    prompt = f"[{fault}x1] A fox that stays"
    job = run(gateway, "pair", prompt)

    assert (job["status"], job["error"]["details"]["reason"]) == ("failed", reason)
    assert called(shared_simulator, prompt) == ["azure-openai"]


def test_a_target_that_has_no_such_model_is_left_for_the_next(gateway, shared_simulator):
    prompt = "A fox of another deployment"
    job = run(gateway, "misnamed", prompt)

    assert job["status"] == "succeeded"
    assert [(a["provider"], a["outcome"]) for a in job["attempts"]] == [
        ("azure-openai", "refused"),
        ("gemini", "succeeded"),
    ]
    assert called(shared_simulator, prompt) == ["gemini"]


def test_at_the_last_target_a_job_backs_off_as_ever(gateway, shared_simulator):
    prompt = "[429x2] A fox that waits at last"
    job = run(gateway, "pair", prompt)

    assert job["status"] == "succeeded"
    assert called(shared_simulator, prompt) == ["azure-openai", "gemini", "gemini"]


def test_when_none_can_serve_it_the_job_fails_with_what_the_last_one_said(gateway, shared_simulator):
    prompt = "[500] A fox that nobody makes"
    job = run(gateway, "three", prompt)

    assert (job["status"], job["error"]["details"]["provider"]) == ("failed", "openai")
    assert job["billing"]["state"] == "none"
    assert called(shared_simulator, prompt) == ["azure-openai", "gemini", "openai"]


def test_each_target_gets_the_request_in_its_own_words(gateway):
    fields = {"size": "1024x1536", "quality": "high"}
    second = run(gateway, "three", "[503x1] A tall fox", **fields)
    third = run(gateway, "three", "[503x2] A tall fox", **fields)

    def said(job):
        return sorted((w["code"], w.get("field")) for w in job["warnings"])

    assert (second["request"]["size"], second["request"].get("quality")) == ("2:3", None)
    assert said(second) == [("adjusted_size", "size"), ("fallback", None), ("ignored_option", "quality")]
    assert (third["request"]["size"], third["request"]["quality"]) == ("1024x1536", "high")
    assert (third["result"]["width"], third["result"]["height"]) == (1024, 1536)
    assert said(third) == [("fallback", None), ("fallback", None)]


def test_a_target_that_cannot_take_the_request_is_left_out(gateway, shared_simulator):
    prompt = "[503x1] A fox to the letter"
    job = run(gateway, "small", prompt, size="1536x1024")

    assert job["status"] == "succeeded"
    assert called(shared_simulator, prompt) == ["azure-openai", "gemini"]


def test_the_price_is_that_of_where_the_picture_was_made(gateway):
    job = run(gateway, "pair", "[503x1] A fox at another price", quality="high")
    with gateway.client() as client:
        used = client.get("/api/v1/limits").json()["data"]["usedToday"]
    run(gateway, "pair", "[503x1] A second fox at another price", quality="high")
    with gateway.client() as client:
        after = client.get("/api/v1/limits").json()["data"]["usedToday"]

    assert job["billing"]["actualCost"] == 0.039
    assert after["cost"] - used["cost"] == pytest.approx(0.039)
    assert after["images"] - used["images"] == 1


def test_a_worker_killed_on_the_way_from_one_to_the_next_makes_no_call_twice(redis_url, simulator):
    told = {"DARKROOM_ROUTES": ROUTES, "DARKROOM_LEASE_SECONDS": "2"}
    with running_gateway(redis_url, simulator, **told) as gateway:
        ids = [submit(gateway, "pair", f"[503x1] [delay=0.3] Fox {number} on the way") for number in range(8)]
        wait_until(lambda: len(simulator.bench.calls()) >= 5, what="the first calls")
        gateway.workers[0].kill()
        gateway.start_worker()
        jobs = [ended(gateway, job_id) for job_id in ids]

    for number, job in enumerate(jobs):
        calls = simulator.bench.calls(f"Fox {number} on the way")
        charged = [a for a in job["attempts"] if a.get("charged") is not False]
        seen = [a for a in job["attempts"] if a["outcome"] != "unknown"]  # the others may have died before they left
        assert len(charged) <= 1
        assert len(seen) <= len(calls) <= len(job["attempts"])
        assert job["status"] == "succeeded" or job["error"]["details"]["reason"] == "outcome_unknown"


def shut(gateway, provider):
    """As the workers report it: enough bad calls in a row."""

    async def report():
        async with Redis.from_url(gateway.environment["REDIS_URL"]) as redis:
            breaker = Breaker(redis, "{darkroom}:", max_failures=3, open_ms=60_000)
            for _ in range(3):
                await breaker.record_call(breaker.ended_call(provider, "m", "bad", 10))

    asyncio.run(report())


def test_while_a_breaker_is_open_new_jobs_go_to_the_next_target_and_are_refused_only_without_one(redis_url, simulator):
    with running_gateway(redis_url, simulator, DARKROOM_ROUTES=ROUTES) as gateway, gateway.client() as client:
        shut(gateway, "azure-openai")
        job = run(gateway, "pair", "A fox beside the breaker")
        alone = client.post(JOBS, json={"provider": "azure-openai", "model": "gpt-image-2", "prompt": "Alone"})

    assert told(job) == [("gemini", "gemini-3-pro-image", "succeeded", True)]
    assert [w["code"] for w in job["warnings"]] == ["fallback"]
    assert alone.json()["error"]["details"]["reason"] == "circuit_open"


def test_a_job_that_waits_for_a_provider_whose_breaker_opens_goes_on_elsewhere(redis_url, simulator):
    with running_gateway(redis_url, simulator, workers=0, DARKROOM_ROUTES=ROUTES) as gateway:
        ids = [submit(gateway, "three", f"Waiting fox {number}") for number in range(3)]
        shut(gateway, "azure-openai")
        shut(gateway, "gemini")
        gateway.start_worker()
        jobs = [ended(gateway, job_id) for job_id in ids]

    assert [told(job) for job in jobs] == [[("openai", "gpt-image-2", "succeeded", True)]] * 3
    assert {call["wire"] for call in simulator.bench.calls("Waiting fox")} == {"openai"}
