"""`POST /api/v1/agents/images` as its documents show it, against the far ends through the real SDKs."""

import io
import json
import time

import httpx
import pytest
from PIL import Image

from tests.acceptance.conftest import AGENTS, MUG
from tests.neighbours.gateway import token

FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox", "size": "16:9"}


def test_the_documented_azure_example_gives_a_png_whose_link_opens(gateway):
    with gateway.client() as client:
        answer = client.post(AGENTS, json=MUG)

    assert answer.status_code == 200
    body = answer.json()
    assert body["metadata"]["success"] is True
    assert abs(body["metadata"]["timestamp"] - time.time()) < 60
    data = body["data"]
    assert data["mimeType"] == "image/png"
    assert (data["width"], data["height"], data["mode"]) == (1024, 1024, "generate")
    assert (data["provider"], data["model"]) == ("azure-openai", "gpt-image-2")
    assert set(data["usage"]) == {"inputTokens", "outputTokens", "totalTokens"}
    picture = httpx.get(data["url"])
    assert picture.headers["content-type"] == "image/png"
    assert len(picture.content) == data["bytes"]
    assert Image.open(io.BytesIO(picture.content)).size == (1024, 1024)


def test_the_documented_gemini_example_gives_a_jpeg_of_the_asked_ratio(gateway):
    with gateway.client() as client:
        data = client.post(AGENTS, json=FOX).json()["data"]

    assert data["mimeType"] == "image/jpeg"
    assert data["url"].endswith(".jpg")
    assert data["width"] / data["height"] == pytest.approx(16 / 9, rel=0.05)


def test_dall_e_3_gives_its_revised_prompt_and_no_usage(gateway):
    body = {"provider": "azure-openai", "model": "dall-e-3", "prompt": "A hen", "style": "vivid", "quality": "hd"}

    with gateway.client() as client:
        data = client.post(AGENTS, json=body).json()["data"]

    assert data["revisedPrompt"] == "A picture of A hen"
    assert "usage" not in data


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**FOX, "quality": "high"}, "quality"),
        ({**FOX, "style": "vivid"}, "style"),
        ({**MUG, "negativePrompt": "no text"}, "negativePrompt"),
        ({**MUG, "style": "vivid"}, "style"),
    ],
)
def test_an_ignored_option_is_accepted_and_listed_in_warnings(gateway, body, field):
    with gateway.client() as client:
        data = client.post(AGENTS, json=body).json()["data"]

    assert [(w["code"], w["field"]) for w in data["warnings"]] == [("ignored_option", field)]


def test_a_size_in_pixels_is_mapped_to_geminis_nearest_ratio_and_said(gateway):
    with gateway.client() as client:
        data = client.post(AGENTS, json={**FOX, "size": "1920x1080"}).json()["data"]

    assert data["warnings"][0]["code"] == "adjusted_size"
    assert data["width"] / data["height"] == pytest.approx(16 / 9, rel=0.05)


def test_geminis_negative_prompt_arrives_in_words(gateway, shared_simulator):
    with gateway.client() as client:
        client.post(AGENTS, json={**FOX, "prompt": "A negative heron", "negativePrompt": "no text, no logo"})

    assert [c["prompt"] for c in shared_simulator.bench.calls("negative heron")] == [
        "A negative heron\n\nAvoid: no text, no logo"
    ]


def _without(field):
    return {k: v for k, v in MUG.items() if k != field}


BAD_BODIES = [
    (b"", "INVALID_INPUT"),
    (b"{", "INVALID_INPUT"),
    (b"[]", "INVALID_INPUT"),
    (b'"text"', "INVALID_INPUT"),
    (b"null", "INVALID_INPUT"),
    (b"\xff\xfe{}", "INVALID_INPUT"),
    (b'{"provider": NaN}', "INVALID_INPUT"),
    (b'{"a":' * 5000 + b"1" + b"}" * 5000, "INVALID_INPUT"),
    (b'{"a":' * 40 + b"1" + b"}" * 40, "INVALID_INPUT"),
    (json.dumps(MUG)[:-1].encode() + b', "prompt": "twice"}', "INVALID_INPUT"),
    (json.dumps(MUG)[:-1].encode() + b', "size": ' + b"9" * 400 + b"}", "INVALID_INPUT"),
]
BAD_FIELDS = [
    (_without("provider"), "INVALID_INPUT", "provider"),
    (_without("model"), "INVALID_INPUT", "model"),
    (_without("prompt"), "INVALID_INPUT", "prompt"),
    ({**MUG, "provider": "midjourney"}, "INVALID_INPUT", "provider"),
    ({**MUG, "provider": "openai"}, "INVALID_INPUT", "provider"),
    ({**MUG, "provider": 7}, "INVALID_INPUT", "provider"),
    ({**MUG, "provider": None}, "INVALID_INPUT", "provider"),
    ({**MUG, "model": ""}, "INVALID_INPUT", "model"),
    ({**MUG, "model": "../../admin"}, "INVALID_INPUT", "model"),
    ({**MUG, "model": "a/b?c"}, "INVALID_INPUT", "model"),
    ({**MUG, "model": "m" * 129}, "INVALID_INPUT", "model"),
    ({**MUG, "prompt": ""}, "INVALID_INPUT", "prompt"),
    ({**MUG, "prompt": "  \n"}, "INVALID_INPUT", "prompt"),
    ({**MUG, "prompt": "x" * 4001}, "INVALID_INPUT", "prompt"),
    ({**MUG, "prompt": ["a"]}, "INVALID_INPUT", "prompt"),
    ({**MUG, "prompt": "a\0b"}, "INVALID_INPUT", "prompt"),
    ({**MUG, "prompt": "\ud800"}, "INVALID_INPUT", "prompt"),
    ({**MUG, "size": "1x1"}, "INVALID_INPUT", "size"),
    ({**MUG, "size": "1792x1024"}, "INVALID_INPUT", "size"),
    ({**MUG, "size": "16:9"}, "INVALID_INPUT", "size"),
    ({**MUG, "size": 1024}, "INVALID_INPUT", "size"),
    ({**MUG, "model": "dall-e-3", "quality": "hd", "size": "1536x1024"}, "INVALID_INPUT", "size"),
    ({**MUG, "quality": "hd"}, "INVALID_INPUT", "quality"),
    ({**MUG, "model": "dall-e-3", "quality": "low"}, "INVALID_INPUT", "quality"),
    ({**MUG, "model": "dall-e-3", "quality": "hd", "style": "baroque"}, "INVALID_INPUT", "style"),
    ({**FOX, "size": "7:1"}, "INVALID_INPUT", "size"),
    ({**FOX, "size": "large"}, "INVALID_INPUT", "size"),
    ({**FOX, "negativePrompt": "x" * 4001}, "INVALID_INPUT", "negativePrompt"),
    ({**MUG, "n": 2}, "INVALID_INPUT", "n"),
    ({**MUG, "cancelAftr": 30}, "INVALID_INPUT", "cancelAftr"),
    (
        {**MUG, "referenceImage": {"url": "https://x.example/a.png", "mimeType": "image/png"}},
        "VALIDATION_ERROR",
        "referenceImage.url",
    ),
    ({**MUG, "mask": {"b64": "AAAA"}}, "VALIDATION_ERROR", "mask"),
]
BAD_HEADERS = [
    ({"Content-Type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ({"Content-Type": "application/json", "Idempotency-Key": "x" * 256}, 400, "INVALID_INPUT"),
    ({"Content-Type": "application/json", "Cancel-After": "soon"}, 400, "INVALID_INPUT"),
    ({"Content-Type": "application/json", "Cancel-After": "1s"}, 400, "INVALID_INPUT"),
    ({"Content-Type": "application/json", "X-Job-Priority": "urgent"}, 400, "INVALID_INPUT"),
    ({"Content-Type": "application/json", "X-Start-Timeout": "0"}, 400, "INVALID_INPUT"),
    ({"Content-Type": "application/json", "X-Max-Calls": "many"}, 400, "INVALID_INPUT"),
]


def _jobs(client):
    return client.get("/api/v1/jobs").json()["data"]["jobs"]


@pytest.mark.parametrize(("body", "code"), BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_a_body_that_is_no_request_is_refused_and_makes_no_job(gateway, body, code):
    with gateway.client("badbody") as client:
        answer = client.post(AGENTS, content=body, headers={"Content-Type": "application/json"})

        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
        assert answer.json()["metadata"]["success"] is False
        assert _jobs(client) == []


@pytest.mark.parametrize(("body", "code", "field"), BAD_FIELDS, ids=range(len(BAD_FIELDS)))
def test_a_bad_field_is_refused_by_its_name_and_makes_no_job(gateway, body, code, field):
    with gateway.client("badfield") as client:
        answer = client.post(AGENTS, content=json.dumps(body), headers={"Content-Type": "application/json"})

        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["details"]["field"]) == (400, code, field)
        assert error["message"].startswith(f"{field}: ")
        assert _jobs(client) == []


@pytest.mark.parametrize(("headers", "status", "code"), BAD_HEADERS, ids=range(len(BAD_HEADERS)))
def test_a_bad_header_is_refused_and_makes_no_job(gateway, headers, status, code):
    with gateway.client("badheader") as client:
        answer = client.post(AGENTS, content=json.dumps(MUG), headers=headers)

        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert _jobs(client) == []


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "UNAUTHORIZED"),
        ({"Authorization": "Bearer"}, 401, "UNAUTHORIZED"),
        ({"Authorization": "Basic eDp5"}, 401, "UNAUTHORIZED"),
        ({"Authorization": "Bearer nonsense"}, 401, "UNAUTHORIZED"),
        ({"Authorization": f"Bearer {token('acme', exp=1)}"}, 401, "UNAUTHORIZED"),
        ({"Authorization": f"Bearer {token(None)}"}, 401, "UNAUTHORIZED"),
        ({"Authorization": f"Bearer {token('acme', scope='read:image-gen')}"}, 403, "FORBIDDEN"),
        ({"Authorization": f"Bearer {token('a/../b')}"}, 403, "FORBIDDEN"),
        ({"Authorization": f"Bearer {token('acme')}", "X-Org-ID": "other"}, 403, "FORBIDDEN"),
    ],
)
def test_a_caller_without_the_right_is_refused_before_the_body_is_read(gateway, headers, status, code):
    answer = httpx.post(f"{gateway.url}{AGENTS}", content=b"{", headers={"Content-Type": "application/json", **headers})

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("mark", "status", "code", "reason", "billing"),
    [
        ("[refuse]", 400, "INVALID_INPUT", "content_policy", "none"),
        ("[500]", 503, "SERVICE_UNAVAILABLE", "provider_unavailable", "none"),
        ("[502]", 503, "SERVICE_UNAVAILABLE", "outcome_unknown", "possibly_billed"),
        ("[drop]", 503, "SERVICE_UNAVAILABLE", "outcome_unknown", "possibly_billed"),
        ("[badjson]", 503, "SERVICE_UNAVAILABLE", "outcome_unknown", "possibly_billed"),
        ("[garbage]", 503, "SERVICE_UNAVAILABLE", "provider_bad_response", "billed"),
        ("[empty]", 503, "SERVICE_UNAVAILABLE", "provider_bad_response", "billed"),
    ],
)
@pytest.mark.parametrize("kind", [MUG, FOX], ids=["azure", "gemini"])
def test_what_the_provider_does_is_told_with_its_money_and_the_call_is_never_repeated(
    gateway, shared_simulator, kind, mark, status, code, reason, billing
):
    prompt = f"{mark} {kind['provider']}"
    with gateway.client() as client:
        answer = client.post(AGENTS, json={**kind, "prompt": prompt})

        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["details"]["reason"]) == (status, code, reason)
        job = client.get(f"/api/v1/jobs/{answer.headers['x-job-id']}").json()["data"]
    assert (job["billing"]["state"], job["billing"]["providerCalls"]) == (billing, 1)
    assert error["details"]["safeToRetry"] is (billing == "none")
    assert len(shared_simulator.bench.calls(prompt)) == 1


@pytest.mark.parametrize("kind", [MUG, FOX], ids=["azure", "gemini"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_provider_that_is_busy_is_asked_again_inside_the_job(gateway, shared_simulator, kind, status):
    prompt = f"[{status}x1] [retry-after=1] {kind['provider']}"
    with gateway.client() as client:
        answer = client.post(AGENTS, json={**kind, "prompt": prompt})

        assert answer.status_code == 200
        job = client.get(f"/api/v1/jobs/{answer.headers['x-job-id']}").json()["data"]
    assert [(a["outcome"], a["charged"]) for a in job["attempts"]] == [("throttled", False), ("succeeded", True)]
    assert len(shared_simulator.bench.calls(prompt)) == 2


def test_an_unknown_model_is_the_providers_word_and_400(gateway):
    with gateway.client() as client:
        azure = client.post(AGENTS, json={**MUG, "model": "my-missing-deployment", "quality": "low"})
        gemini = client.post(AGENTS, json={**FOX, "model": "gemini-unknown"})

    assert (azure.status_code, azure.json()["error"]["code"]) == (400, "INVALID_INPUT")
    assert (gemini.status_code, gemini.json()["error"]["details"]["field"]) == (400, "model")


def test_errors_come_as_problem_json_where_that_is_asked_for(gateway):
    with gateway.client() as client:
        answer = client.post(AGENTS, json={**MUG, "size": "1x1"}, headers={"Accept": "application/problem+json"})

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 400
    assert answer.json()["field"] == "size"


def test_every_answer_carries_a_request_id(gateway):
    with gateway.client() as client:
        own = client.post(AGENTS, json=MUG, headers={"X-Request-Id": "my-request-1"})
        ours = client.get("/nowhere")

    assert own.headers["x-request-id"] == "my-request-1"
    assert ours.headers["x-request-id"].startswith("req_")
    assert (ours.status_code, ours.json()["error"]["code"]) == (404, "NOT_FOUND")
