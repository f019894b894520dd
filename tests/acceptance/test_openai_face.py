"""Face 1 beyond what the official clients show: formats, later answers, retries, keys, headers."""

import base64
import hashlib
import io
import secrets
import threading

import httpx
import pytest
from openai import InternalServerError, OpenAI
from PIL import Image

from tests.acceptance.test_edits import png
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
SMALL = {"model": "gpt-image-2", "size": "256x256"}
PICTURE = png((256, 256))


@pytest.fixture(scope="module")
def client(gateway):
    with gateway.client("face1") as client:
        yield client


def refused(answer, status, code, param=None):
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param), answer.text


def test_base64_is_the_stored_picture_and_the_answer_says_its_length(client, shared_simulator):
    answer = client.post(GENERATIONS, json={**SMALL, "prompt": "length", "n": 2, "response_format": "b64_json"})

    made = [hashlib.sha256(base64.b64decode(image["b64_json"])).hexdigest() for image in answer.json()["data"]]
    assert made == shared_simulator.bench.calls("length")[-1]["pictures"]
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("model", "key"), [("gpt-image-2", "b64_json"), ("dall-e-3", "url"), ("gemini-3-pro-image", "url")]
)
def test_who_does_not_say_gets_what_openai_sends_for_the_family(client, model, key):
    answer = client.post(GENERATIONS, json={"model": model, "prompt": "default format"})

    assert answer.status_code == 200, answer.text
    assert list(answer.json()["data"][0]) == ([key, "revised_prompt"] if model == "dall-e-3" else [key])


@pytest.mark.parametrize("model", ["gpt-image-2", "dall-e-3", "gemini-3-pro-image"])
@pytest.mark.parametrize("wanted", ["url", "b64_json"])
def test_both_formats_are_there_for_every_model(client, model, wanted):
    answer = client.post(GENERATIONS, json={"model": model, "prompt": "either", "response_format": wanted})

    assert wanted in answer.json()["data"][0]


def test_the_answer_says_size_format_usage_and_what_was_not_honoured(client):
    told = client.post(GENERATIONS, json={**SMALL, "prompt": "facts", "style": "vivid", "quality": "low"}).json()

    assert (told["size"], told["output_format"], told["quality"]) == ("256x256", "png", "low")
    assert told["usage"]["total_tokens"] == told["usage"]["input_tokens"] + told["usage"]["output_tokens"]
    assert "style" in [warning.get("field") for warning in told["warnings"]]


def test_null_is_as_good_as_nothing(client):
    body = {**SMALL, "prompt": "nulls", "n": None, "style": None, "svg": None, "stream": None, "user": None}

    assert client.post(GENERATIONS, json=body).status_code == 200


@pytest.mark.parametrize("how", ["header", "field"])
def test_who_does_not_want_to_wait_gets_the_jobs_address(client, how):
    body = {**SMALL, "prompt": f"later by {how}", **({"async": True} if how == "field" else {})}
    headers = {"Prefer": "respond-async"} if how == "header" else {}

    answer = client.post(GENERATIONS, json=body, headers=headers)

    job = answer.json()["job"]
    assert (answer.status_code, answer.json()["data"]) == (202, [])
    assert answer.headers["location"] == job["urls"]["self"]
    found = client.get(answer.headers["location"], params={"wait": 30, "until": "terminal"}).json()["data"]
    assert (found["status"], found["face"]) == ("succeeded", "openai")


def test_one_key_one_job_also_over_two_faces(client, shared_simulator):
    body, headers = {**SMALL, "prompt": "one key"}, {"Idempotency-Key": "face-1-key"}

    first = client.post(GENERATIONS, json=body, headers=headers)
    again = client.post(GENERATIONS, json=body, headers=headers)
    other = client.post("/api/v1/jobs", json={**body, "provider": "azure-openai"}, headers=headers)

    assert first.content == again.content
    assert again.headers["idempotency-replayed"] == "true"
    assert other.headers["x-job-id"] == first.headers["x-job-id"]
    assert len(shared_simulator.bench.calls("one key")) == 1
    refused(client.post(GENERATIONS, json={**body, "n": 2}, headers=headers), 422, "idempotency_key_reused")


@pytest.fixture(scope="module")
def hasty(shared_simulator):
    """A gateway whose waits are over after a second."""
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, DARKROOM_WAIT_SECONDS="1") as running:
        yield running


def test_a_wait_that_ends_first_points_at_the_job_and_the_sdk_does_not_ask_again(hasty, shared_simulator):
    with hasty.client("face1") as client:
        token = client.headers["authorization"].removeprefix("Bearer ")
        sdk = OpenAI(base_url=f"{hasty.url}/v1", api_key=token)

        with pytest.raises(InternalServerError) as late:
            sdk.images.generate(**SMALL, prompt="late [delay=3]")

        job = client.get(late.value.response.headers["location"], params={"wait": 20, "until": "terminal"})
    assert (late.value.status_code, late.value.code) == (504, "timeout")
    assert late.value.response.headers["x-should-retry"] == "false"
    assert job.json()["data"]["status"] == "succeeded"
    assert len(shared_simulator.bench.calls("late [delay=3]")) == 1


def test_an_sdk_that_times_out_and_asks_again_joins_its_own_job(gateway, client, shared_simulator):
    token = client.headers["authorization"].removeprefix("Bearer ")
    sdk = OpenAI(base_url=f"{gateway.url}/v1", api_key=token, timeout=4.0, max_retries=2)

    found = sdk.images.with_raw_response.generate(**SMALL, prompt="impatient [delay=6]")

    assert found.headers["x-job-adopted"] == "true"
    assert found.parse().data[0].b64_json
    assert len(shared_simulator.bench.calls("impatient [delay=6]")) == 1


def test_a_picture_whose_answer_was_cut_on_its_way_goes_to_whoever_asks_the_same_again(
    gateway, client, shared_simulator
):
    noise = io.BytesIO()
    Image.frombytes("RGB", (1600, 1600), secrets.token_bytes(1600 * 1600 * 3)).save(noise, "PNG", compress_level=0)
    asked = {
        "data": {"model": "gpt-image-2", "prompt": "cut answer", "n": "2"},
        "files": {"image": noise.getvalue()},  # of noise the far end makes more than any socket's buffers hold
    }
    before = gateway.abandoned()
    with client.stream("POST", EDITS, **asked) as answer:
        next(answer.iter_raw(1024))
    wait_until(lambda: gateway.abandoned() > before, what="the cut to be seen")

    again = client.post(EDITS, **asked)

    assert int(again.headers["content-length"]) > 15_000_000
    assert again.headers.get("x-job-adopted") == "true"
    assert len(shared_simulator.bench.calls("cut answer")) == 1


@pytest.fixture(scope="module")
def keys(gateway):
    with gateway.client("face1", scope="write:image-gen read:image-gen admin:image-gen") as admin:

        def made(**fields):
            return admin.post("/api/v1/keys", json={"name": "k", **fields}).json()["data"]["key"]

        yield made


@pytest.mark.parametrize("header", ["authorization", "api-key", "x-api-key"])
def test_a_key_may_come_in_any_of_three_headers(gateway, keys, header):
    key = keys()
    sent = f"Bearer {key}" if header == "authorization" else key

    answer = httpx.get(f"{gateway.url}/v1/models", headers={header: sent})

    assert answer.status_code == 200


def test_a_key_without_the_capability_reads_and_does_not_make(gateway, keys):
    headers = {"api-key": keys(scopes={"capabilities": ["usage:read"]})}

    assert httpx.get(f"{gateway.url}/v1/models", headers=headers).status_code == 200
    refused(
        httpx.post(f"{gateway.url}{GENERATIONS}", json={**SMALL, "prompt": "x"}, headers=headers),
        403,
        "capability_required",
    )


def test_a_keys_models_are_all_that_it_sees_and_may_ask(gateway, keys):
    headers = {"api-key": keys(scopes={"modelIds": ["gemini-3-pro-image"]})}

    listed = httpx.get(f"{gateway.url}/v1/models", headers=headers).json()["data"]

    assert [model["id"] for model in listed] == ["gemini-3-pro-image"]
    refused(httpx.get(f"{gateway.url}/v1/models/gpt-image-2", headers=headers), 403, "permission_denied", "model")
    refused(
        httpx.post(f"{gateway.url}{GENERATIONS}", json={**SMALL, "prompt": "x"}, headers=headers),
        403,
        "permission_denied",
        "model",
    )


def test_no_credential_is_401_in_openais_words(gateway):
    refused(httpx.post(f"{gateway.url}{GENERATIONS}", json={**SMALL, "prompt": "x"}), 401, "invalid_api_key")


def test_every_answer_has_its_request_id_and_a_jobs_answer_the_job(client):
    answer = client.post(GENERATIONS, json={**SMALL, "prompt": "ids"}, headers={"x-request-id": "caller-chose-this"})

    assert answer.headers["x-request-id"] == "caller-chose-this"
    assert answer.headers["x-job-id"].startswith("job_")


def test_provider_and_model_in_one_name_force_the_provider(client):
    answer = client.post(GENERATIONS, json={**SMALL, "model": "openai/gpt-image-2", "prompt": "forced"})

    job = client.get(f"/api/v1/jobs/{answer.headers['x-job-id']}").json()["data"]
    assert job["request"]["provider"] == "openai"


@pytest.mark.parametrize("below", ["v1", "deployments/gpt-image-2"])
def test_azures_paths_take_azures_key_and_version(gateway, keys, below):
    body = {"prompt": "azure paths", "model": "gpt-image-2", "size": "256x256"}
    path = f"/openai/{below}/images/generations"

    answer = httpx.post(f"{gateway.url}{path}?api-version=2025-04-01-preview", json=body, headers={"api-key": keys()})

    assert answer.status_code == 200, answer.text


def test_a_retired_endpoint_says_so(client):
    answer = client.post("/v1/images/variations", files={"image": PICTURE})

    refused(answer, 404, "not_found")
    assert "retired" in answer.json()["error"]["message"]


def test_an_unknown_path_is_refused_in_openais_words(client):
    refused(client.get("/v1/nowhere"), 404, "not_found")
    refused(client.get(GENERATIONS), 405, "method_not_allowed")


def test_twenty_callers_at_once_each_get_their_own_picture(gateway, shared_simulator):
    answers = {}

    def ask(number):
        with gateway.client("face1") as own:
            answers[number] = own.post(GENERATIONS, json={**SMALL, "prompt": f"crowd {number}."}).json()["data"][0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    made = {
        number: hashlib.sha256(base64.b64decode(image["b64_json"])).hexdigest() for number, image in answers.items()
    }
    assert made == {number: shared_simulator.bench.calls(f"crowd {number}.")[0]["pictures"][0] for number in range(20)}
