"""Errors as far ends really word them, through the real SDKs: whose trouble each is, and what the caller is told."""

import pytest

from app.simulator.draw import draw
from jobs.errors import Outcome
from tests.neighbours import free_port
from tests.neighbours.scripted_provider import ALL, OPENAI, failed, failure, response, running_far_end, unsent

pytestmark = pytest.mark.anyio

PNG = draw("a mug", "beef", 64, 64, "png")
HTML = {"body": b"<!DOCTYPE html><html>nginx</html>", "content_type": "text/html"}
USER_ERROR = {
    "type": "image_generation_user_error",
    "code": None,
    "message": "Your request was rejected by the safety system. safety_violations=[sexual].",
}


def refused(error, code, reason):
    assert (error.outcome, error.error.code, error.error.reason) == (Outcome.REFUSED, code, reason)


# --- an error within a success ---


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(
    ("said", "outcome", "code", "reason"),
    [
        ({"code": "rate_limit_exceeded"}, Outcome.THROTTLED, "SERVICE_UNAVAILABLE", "provider_rate_limited"),
        ({"code": 429}, Outcome.THROTTLED, "SERVICE_UNAVAILABLE", "provider_rate_limited"),
        ({"code": 503, "status": "UNAVAILABLE"}, Outcome.THROTTLED, "SERVICE_UNAVAILABLE", "provider_unavailable"),
        ({"code": "moderation_blocked"}, Outcome.REFUSED, "INVALID_INPUT", "content_policy"),
        ({"type": "invalid_request_error", "message": "no"}, Outcome.REFUSED, "INVALID_INPUT", None),
        ({"code": "insufficient_quota"}, Outcome.REFUSED, "SERVICE_UNAVAILABLE", "provider_unavailable"),
        ("out of order", Outcome.REFUSED, "SERVICE_UNAVAILABLE", "provider_unavailable"),
    ],
)
async def test_an_error_within_a_200_is_judged_by_its_code_like_any_error(provider, said, outcome, code, reason):
    error = await failed(provider, response(200, {"data": None, "error": said}))

    assert (error.outcome, error.error.code, error.error.reason) == (outcome, code, reason)
    assert error.provider_status == 200


# --- the gateway's own trouble ---


@pytest.mark.parametrize(
    ("provider", "status", "body", "trouble"),
    [
        *((p, 429, failure(p, 429, "plan", code="insufficient_quota"), "account") for p in OPENAI),
        ("gemini", 400, failure("gemini", 400, "User location is not supported for the API use."), "region"),
        ("gemini", 400, failure("gemini", 400, "Imagen API is only accessible to billed users."), "account"),
        ("gemini", 400, failure("gemini", 400, "API key not valid."), "credential"),
        ("openai", 403, failure("openai", 403, "no", code="unsupported_country_region_territory"), "region"),
        ("azure-openai", 404, {"error": {"code": "404", "message": "Resource not found"}}, "endpoint"),
        ("openai", 404, {"detail": "Not Found"}, "endpoint"),
        *((p, s, HTML, "endpoint") for p in ALL for s in (400, 404)),
        *((p, 401, failure(p, 401, "no"), "credential") for p in ALL),
        *((p, 402, failure(p, 402, "pay"), "account") for p in ALL),
    ],
)
async def test_what_only_the_operator_can_mend_is_not_told_as_the_callers_fault(provider, status, body, trouble):
    reply = response(status, **body) if body is HTML else response(status, body)

    error = await failed(provider, reply)

    refused(error, "SERVICE_UNAVAILABLE", "provider_unavailable")
    assert (error.trouble, error.retry_after) == (trouble, None)


# --- refusals ---


@pytest.mark.parametrize(
    ("provider", "status", "body"),
    [
        *((p, 403, failure(p, 403, "no", code="moderation_blocked")) for p in OPENAI),
        *((p, 400, {"error": USER_ERROR}) for p in OPENAI),
        ("azure-openai", 400, {"error": "The response was filtered by Azure's content filter policies."}),
        ("azure-openai", 400, {"error": {"code": "400", "message": "… Azure OpenAI's content management policy"}}),
    ],
)
async def test_a_refusal_of_what_was_asked_says_so_whatever_it_is_called(provider, status, body):
    error = await failed(provider, response(status, body))

    refused(error, "INVALID_INPUT", "content_policy")
    assert error.trouble is None


# --- the far end's words ---


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (422, {"detail": [{"loc": ["body", "size"], "msg": "not a size", "type": "x"}]}, "body.size: not a size"),
        (400, {"detail": "Model is not loaded"}, "Model is not loaded"),
        (400, b"the prompt is too long", "the prompt is too long"),
        (400, {"message": "no such size"}, "no such size"),
        (400, [{"error": {"message": "in a list"}}], "in a list"),
    ],
    ids=range(5),
)
async def test_the_far_ends_words_are_passed_on_wherever_they_stand(provider, status, body, said):
    error = await failed(provider, response(status, body))

    refused(error, "INVALID_INPUT", None)
    assert error.error.message.endswith(f": {said}")


@pytest.mark.parametrize(
    "candidate",
    [
        {"finishReason": "STOP", "content": {"parts": [{"text": "I cannot " + "draw" * 200}]}},
        {"finishReason": "OTHER", "finishMessage": "I cannot " + "draw" * 200},
        {"finishReason": "SAFETY", "finishMessage": "I cannot " + "draw" * 200},
    ],
)
async def test_geminis_words_beside_no_picture_are_passed_on(candidate):
    error = await failed("gemini", response(200, {"candidates": [candidate]}))

    assert error.error.message.endswith(": I cannot " + ("draw" * 200)[:491])


# --- who could not be reached ---


async def test_the_log_is_told_why_nothing_was_sent_and_to_which_host():
    port = free_port()
    async with running_far_end(response(400)) as far:
        found = [
            await unsent("gemini", f"http://127.0.0.1:{port}"),
            await unsent("openai", f"http://127.0.0.1:{port}"),
            await unsent("openai", "http://nowhere.invalid"),
            await unsent("azure-openai", far.url.replace("http:", "https:")),
        ]

    host = far.url.removeprefix("http://")
    assert [error.cause for error in found] == [
        f"the connection was refused at 127.0.0.1:{port}",
        f"the connection was refused at 127.0.0.1:{port}",
        "the name is not known (DNS) at nowhere.invalid:80",
        f"no TLS could be agreed at {host}",
    ]
    assert not any("127.0.0.1" in error.error.message for error in found)
