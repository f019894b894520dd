"""What each answer of a far end, and each silence, means for the job and its money."""

import json
import time
from email.utils import formatdate

import pytest

from app.simulator.draw import draw
from jobs.errors import Outcome
from tests.neighbours import free_port
from tests.neighbours.scripted_provider import (
    ALL,
    CUT,
    HANG,
    KEY,
    OPENAI,
    PROMPT,
    b64,
    failed,
    failure,
    response,
    running_far_end,
    success,
    unsent,
)

pytestmark = pytest.mark.anyio

PNG = draw("a mug", "beef", 64, 64, "png")


# --- nothing was sent ---


@pytest.mark.parametrize("provider", ALL)
async def test_a_port_that_refuses_means_nothing_was_sent(provider):
    error = await unsent(provider, f"http://127.0.0.1:{free_port()}")

    assert error.outcome is Outcome.NOT_SENT
    assert error.error.details["reason"] == "provider_unavailable"


@pytest.mark.parametrize("provider", ALL)
async def test_a_host_that_does_not_exist_means_nothing_was_sent(provider):
    error = await unsent(provider, "http://nowhere.invalid")

    assert error.outcome is Outcome.NOT_SENT


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("reply", [response(400), CUT, HANG], ids=["plain http", "cut", "silence"])
async def test_tls_that_cannot_be_agreed_means_nothing_was_sent(provider, reply):
    async with running_far_end(reply) as far:
        error = await unsent(provider, far.url.replace("http:", "https:"), timeout=0.8)

        assert far.asked == []
    assert error.outcome is Outcome.NOT_SENT


# --- sent, and nobody knows ---


@pytest.mark.parametrize("provider", ALL)
async def test_a_connection_cut_after_the_order_was_read_is_an_unknown_outcome(provider):
    error = await failed(provider, CUT)

    assert error.outcome is Outcome.UNKNOWN
    assert (error.error.code, error.error.details["reason"]) == ("SERVICE_UNAVAILABLE", "outcome_unknown")


@pytest.mark.parametrize("provider", ALL)
async def test_an_answer_cut_in_its_middle_is_an_unknown_outcome(provider):
    whole = response(200, success(provider, PNG), connection="close")

    error = await failed(provider, whole[: len(whole) // 2])

    assert error.outcome is Outcome.UNKNOWN
    assert error.error.details["reason"] == "outcome_unknown"


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(("reply", "pause"), [(HANG, 0), (response(200, b" " * 100), 0.1)], ids=["silence", "trickle"])
async def test_an_answer_that_is_not_whole_in_time_is_a_timeout_of_unknown_outcome(provider, reply, pause):
    begun = time.monotonic()

    error = await failed(provider, reply, pause=pause, timeout=0.4)

    assert error.outcome is Outcome.UNKNOWN
    assert (error.error.code, error.error.details["reason"]) == ("TIMEOUT", "provider_timeout")
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("status", [408, 499, 502, 504, 520, 522, 524])
async def test_a_gateway_that_lost_its_upstream_is_an_unknown_outcome(provider, status):
    error = await failed(provider, response(status, b"<html>bad gateway</html>", content_type="text/html"))

    assert (error.outcome, error.provider_status) == (Outcome.UNKNOWN, status)
    assert error.error.details["reason"] == "outcome_unknown"


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("body", [b'{"data": [{"b64_', b"<html>hello</html>", b"\xff\xfe\x00", b""])
async def test_a_200_that_cannot_be_read_is_an_unknown_outcome(provider, body):
    error = await failed(provider, response(200, body))

    assert (error.outcome, error.error.details["reason"]) == (Outcome.UNKNOWN, "outcome_unknown")


# --- to be asked again ---


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (429, "provider_rate_limited"),
        (503, "provider_unavailable"),
        (529, "provider_unavailable"),
        (425, "provider_unavailable"),
    ],
)
async def test_429_503_529_and_425_are_throttled_with_the_providers_own_retry_after(provider, status, reason):
    error = await failed(provider, response(status, failure(provider, status, "slow down"), retry_after="7"))

    assert (error.outcome, error.retry_after, error.provider_status) == (Outcome.THROTTLED, 7.0, status)
    assert error.error.details["reason"] == reason
    assert error.error.retry_after == 7.0


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("body", [b"", b"oops", b"[]", b'{"error": "busy"}', b"\xff"])
async def test_a_throttling_status_counts_whatever_its_body_is(provider, body):
    error = await failed(provider, response(503, body, retry_after="2"))

    assert (error.outcome, error.retry_after) == (Outcome.THROTTLED, 2.0)


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"x_ms_retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"retry_after": "2, 2"}, 2.0),
        ({"retry_after": "2.5"}, 2.5),
        ({"retry_after": formatdate(0, usegmt=True)}, 0.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "9" * 400}, None),
        ({"retry_after_ms": "nan"}, None),
        ({}, None),
    ],
)
async def test_a_retry_after_may_be_seconds_milliseconds_a_past_date_or_nonsense(provider, headers, seconds):
    error = await failed(provider, response(429, failure(provider, 429, "slow down"), **headers))

    assert error.retry_after == seconds


@pytest.mark.parametrize("provider", ALL)
async def test_a_retry_after_may_be_a_date(provider):
    date = formatdate(time.time() + 30, usegmt=True)

    error = await failed(provider, response(429, failure(provider, 429, "slow down"), retry_after=date))

    assert 20 <= error.retry_after <= 31


# --- an account that may buy no more ---


QUOTA_ID = "GenerateRequestsPer{}PerProjectPerModel"


def google_says(*details):
    """What Google says in the body beside a 429."""
    return [{"@type": f"type.googleapis.com/google.rpc.{kind}", **words} for kind, words in details]


def violated(period):
    return ("QuotaFailure", {"violations": [{"quotaId": QUOTA_ID.format(period), "quotaValue": "5"}]})


@pytest.mark.parametrize("provider", OPENAI)
@pytest.mark.parametrize("words", [{"code": "insufficient_quota"}, {"type": "insufficient_quota"}])
async def test_a_429_for_want_of_money_is_final_and_no_rate_limit(provider, words):
    error = await failed(provider, response(429, failure(provider, 429, "check your plan", **words), retry_after="7"))

    assert (error.outcome, error.error.details["reason"]) == (Outcome.REFUSED, "provider_unavailable")
    assert error.retry_after is None


async def test_googles_quota_of_the_day_is_final_and_no_rate_limit():
    body = failure("gemini", 429, "quota", details=google_says(violated("Day"), ("RetryInfo", {"retryDelay": "9s"})))

    error = await failed("gemini", response(429, body))

    assert (error.outcome, error.error.details["reason"]) == (Outcome.REFUSED, "provider_unavailable")


@pytest.mark.parametrize(
    ("details", "headers", "seconds"),
    [
        (google_says(violated("Minute"), ("RetryInfo", {"retryDelay": "34.5s"})), {}, 34.5),
        (google_says(("RetryInfo", {"retryDelay": "34s"})), {"retry_after": "7"}, 7.0),
        (google_says(("RetryInfo", {"retryDelay": "soon"})), {}, None),
        (google_says(("RetryInfo", {"retryDelay": "nans"})), {}, None),
        (google_says(("RetryInfo", {})), {}, None),
        (["odd", {"@type": 1}, {"violations": "none"}], {}, None),
        ("odd", {}, None),
    ],
)
async def test_google_says_in_the_body_when_to_come_back(details, headers, seconds):
    error = await failed("gemini", response(429, failure("gemini", 429, "slow down", details=details), **headers))

    assert (error.outcome, error.retry_after) == (Outcome.THROTTLED, seconds)


# --- refused: not charged, final ---


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("status", [500, 501, 409])
async def test_any_other_answered_status_is_a_final_refusal_of_theirs(provider, status):
    error = await failed(provider, response(status, failure(provider, status, "oh no")))

    assert (error.outcome, error.provider_status) == (Outcome.REFUSED, status)
    assert error.error.details["reason"] == "provider_unavailable"


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_credential_is_our_trouble_and_is_never_shown(provider, status):
    error = await failed(provider, response(status, failure(provider, status, f"Incorrect API key: {KEY}")))

    assert (error.outcome, error.error.details["reason"]) == (Outcome.REFUSED, "provider_unavailable")
    assert "credential" in error.error.message
    assert KEY not in str(error)


async def test_gemini_says_400_for_a_bad_key_and_that_is_no_fault_of_the_caller():
    error = await failed("gemini", response(400, failure("gemini", 400, f"API key not valid: {KEY}")))

    assert (error.outcome, error.error.code) == (Outcome.REFUSED, "SERVICE_UNAVAILABLE")
    assert "credential" in error.error.message
    assert KEY not in str(error)
    assert error.provider_status == 400


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("status", [400, 413, 415, 422])
async def test_a_refused_request_passes_on_at_most_500_characters_of_what_the_provider_said(provider, status):
    error = await failed(provider, response(status, failure(provider, status, "y" + "x" * 2000)))

    assert (error.outcome, error.error.code, error.provider_status) == (Outcome.REFUSED, "INVALID_INPUT", status)
    assert error.error.message.endswith(": y" + "x" * 499)


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("body", [b"", b"[1]", b'{"error": {"message": 7}}'])
async def test_a_refusal_whose_words_cannot_be_read_is_a_refusal_all_the_same(provider, body):
    error = await failed(provider, response(400, body))

    assert (error.outcome, error.error.code) == (Outcome.REFUSED, "INVALID_INPUT")


async def test_a_refusal_names_the_field_that_the_provider_named():
    error = await failed("openai", response(400, failure("openai", 400, "too large", param="size")))

    assert error.error.details["field"] == "size"


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("azure-openai", {"error": {"code": "DeploymentNotFound", "message": "No such deployment."}}),
        ("openai", {"error": {"code": "model_not_found", "message": "No such model.", "param": "model"}}),
        ("gemini", {"error": {"code": 404, "message": "models/x is not found", "status": "NOT_FOUND"}}),
    ],
)
async def test_an_unknown_model_is_bad_input_that_names_the_field(provider, body):
    error = await failed(provider, response(404, body))

    assert (error.outcome, error.error.code) == (Outcome.REFUSED, "INVALID_INPUT")
    assert error.error.details["field"] == "model"


@pytest.mark.parametrize(
    ("provider", "more"),
    [
        ("azure-openai", {"code": "contentFilter"}),
        ("azure-openai", {"code": "x", "inner_error": {"code": "ResponsibleAIPolicyViolation"}}),
        ("azure-openai", {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}),
        ("openai", {"code": "moderation_blocked"}),
        ("openai", {"code": "content_policy_violation"}),
    ],
)
async def test_a_content_policy_refusal_says_so(provider, more):
    error = await failed(provider, response(400, failure(provider, 400, "rejected", **more)))

    assert (error.outcome, error.error.code) == (Outcome.REFUSED, "INVALID_INPUT")
    assert error.error.details["reason"] == "content_policy"


@pytest.mark.parametrize(
    "answer",
    [
        {"candidates": [{"finishReason": "IMAGE_SAFETY"}]},
        {"candidates": [{"finishReason": "NO_IMAGE"}]},
        {"candidates": [{"finishReason": "LANGUAGE"}]},
        {"candidates": [{"finishReason": "ESCALATION"}]},
        {"candidates": [{"finishReason": "PROHIBITED_CONTENT", "content": {"parts": [{"text": "no"}]}}]},
        {"promptFeedback": {"blockReason": "SAFETY"}},
    ],
)
async def test_gemini_refuses_with_a_200_and_it_is_a_content_policy_refusal(answer):
    error = await failed("gemini", response(200, answer))

    assert (error.outcome, error.error.details["reason"]) == (Outcome.REFUSED, "content_policy")


# --- a 200 without a picture: charged, final ---


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        *((p, b) for p in OPENAI for b in ({"data": []}, {"data": None}, {}, [], {"data": [{"url": "https://x/a"}]})),
        ("openai", {"data": [{"b64_json": None}]}),
        ("openai", {"data": [{"b64_json": 12345678}]}),
        ("gemini", {"candidates": []}),
        ("gemini", {}),
        ("gemini", []),
        ("gemini", {"candidates": [{"content": {"parts": [{"text": "I cannot draw."}]}, "finishReason": "STOP"}]}),
        ("gemini", {"candidates": [{"finishReason": "SOMETHING_NEW"}]}),
        ("gemini", {"candidates": [{"finishReason": {"strange": 1}}]}),
    ],
)
async def test_a_200_without_a_picture_is_a_bad_response_that_was_paid_for(provider, body):
    error = await failed(provider, response(200, body))

    assert (error.outcome, error.provider_status) == (Outcome.BAD_RESPONSE, 200)
    assert error.error.details["reason"] == "provider_bad_response"


@pytest.mark.parametrize("provider", ALL)
async def test_bytes_that_are_no_picture_are_a_bad_response(provider):
    error = await failed(provider, response(200, success(provider, b"this is no picture")))

    assert error.outcome is Outcome.BAD_RESPONSE


@pytest.mark.parametrize("provider", ALL)
async def test_text_that_is_no_base64_is_a_bad_response(provider):
    body = json.dumps(success(provider, PNG)).replace(b64(PNG), "%%%not base64%%%").encode()

    error = await failed(provider, response(200, body))

    assert error.outcome is Outcome.BAD_RESPONSE


@pytest.mark.parametrize("provider", ALL)
async def test_no_error_shows_the_key_the_prompt_or_a_picture(provider):
    shown = []
    for reply in (CUT, response(500, failure(provider, 500, f"{KEY} {PROMPT}")), response(200, b"{")):
        error = await failed(provider, reply)
        shown.append(f"{error} {error.error.message} {error.error.details}")

    assert not any(secret in text for text in shown for secret in (KEY, PROMPT, b64(PNG)[:40]))
