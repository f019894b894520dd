"""The providers through their real SDKs: what arrives at the far end, and what is read from a good answer."""

import asyncio
import base64
import json

import pytest

from app.simulator.draw import draw
from jobs.errors import ProviderError
from jobs.model.picture import Picture, Usage
from jobs.providers.base import Answered, Text, Warned
from tests.neighbours.scripted_provider import (
    ALL,
    EDITING,
    KEY,
    OPENAI,
    b64,
    opened,
    order,
    response,
    running_far_end,
    success,
    told,
)

pytestmark = pytest.mark.anyio

PNG = draw("a mug", "beef", 64, 64, "png")
JPEG = draw("a mug", "beef", 64, 64, "jpeg")
ODD = PNG + b"\xfb\xff\xfe" + bytes((1 - len(PNG)) % 3)
"""A picture whose base64 holds every special letter; what follows the end of a PNG is no part of it."""
A_PNG = Picture(data=PNG, media_type="image/png")
A_JPEG = Picture(data=JPEG, media_type="image/jpeg")


def pictures(found):
    return [s for s in found if isinstance(s, Picture)]


def ignored(found):
    return {w.field for w in found if isinstance(w, Warned) and w.code == "ignored_option"}


# --- a picture that was paid for is kept ---


@pytest.mark.parametrize("provider", ALL)
async def test_a_picture_comes_as_its_own_bytes_with_the_type_that_they_show(provider):
    found, _ = await told(provider, response(200, success(provider, JPEG)))

    assert isinstance(found[0], Answered)
    assert [(p.data, p.media_type, p.index) for p in pictures(found)] == [(JPEG, "image/jpeg", 0)]


@pytest.mark.parametrize("provider", OPENAI)
@pytest.mark.parametrize("bad", [{"b64_json": b64(b"no picture")}, {"b64_json": "%%%"}, {"url": "https://x/a"}, {}])
async def test_one_bad_picture_of_three_does_not_cost_the_other_two(provider, bad):
    body = success(provider, PNG, PNG, JPEG)
    body["data"][1] = bad

    found, _ = await told(provider, response(200, body), n=3)

    assert [(p.index, p.data) for p in pictures(found)] == [(0, PNG), (2, JPEG)]
    assert [w.code for w in found if isinstance(w, Warned)] == ["partial"]


@pytest.mark.parametrize("provider", OPENAI)
async def test_a_picture_more_than_was_asked_for_stands_in_for_one_that_cannot_be_used(provider):
    body = success(provider, PNG, JPEG)
    body["data"][0] = {"b64_json": "no picture"}

    found, _ = await told(provider, response(200, body), n=1)

    assert [(p.index, p.data) for p in pictures(found)] == [(0, JPEG)]


@pytest.mark.parametrize("provider", ALL)
async def test_strange_words_beside_a_picture_do_not_cost_the_picture(provider):
    body = success(provider, PNG)
    body |= {"usage": ["strange"], "usageMetadata": {"promptTokenCount": "many"}, "created": "now"}
    if provider == "gemini":
        body |= {"responseId": 7, "modelVersion": None, "promptFeedback": "fine"}
        body["candidates"][0] |= {"finishReason": 3, "safetyRatings": "none"}
    else:
        body["predictions" if provider == "imagen" else "data"][0] |= {"revised_prompt": {"text": "a mug"}}

    found, _ = await told(provider, response(200, body))

    assert [p.data for p in pictures(found)] == [PNG]


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(
    "spelling",
    [{"+": "\\u002B"}, {"/": "\\/"}, {"+": "-", "/": "_"}, {"=": ""}],
    ids=["escaped", "as PHP does", "URL-safe", "without padding"],
)
async def test_base64_in_another_spelling_is_read_like_any_other(provider, spelling):
    usual = b64(ODD)
    assert set(spelling) <= set(usual)
    unusual = usual.translate(str.maketrans(spelling))
    body = json.dumps(success(provider, ODD)).replace(usual, unusual).encode()

    found, _ = await told(provider, response(200, body))

    assert [p.data for p in pictures(found)] == [ODD]


async def test_usage_and_revised_prompt_are_passed_on_when_the_provider_reports_them():
    details = {"text_tokens": 10, "image_tokens": 6}
    body = success("openai", PNG)
    body["usage"] = {"input_tokens": 16, "output_tokens": 208, "total_tokens": 224, "input_tokens_details": details}
    body["data"][0]["revised_prompt"] = "a fine mug"

    found, _ = await told("openai", response(200, body, x_request_id="req_9"))

    assert found[0] == Answered(status=200, request_id="req_9")
    assert pictures(found)[0].revised_prompt == "a fine mug"
    assert found[-1] == Usage(
        input_tokens=16, output_tokens=208, total_tokens=224, input_text_tokens=10, input_image_tokens=6
    )


async def test_of_geminis_parts_the_words_are_joined_and_its_thoughts_are_left_out():
    parts = [
        {"thought": True, "text": "hm"},
        {"thought": True, "inlineData": {"mimeType": "image/jpeg", "data": b64(JPEG)}},
        {"text": "Here "},
        {"text": "you are."},
        {"inlineData": {"mimeType": "image/png", "data": b64(PNG)}},
    ]
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 1290, "totalTokenCount": 1295}
    body = {"candidates": [{"content": {"parts": parts}}], "usageMetadata": counts, "responseId": "r1"}

    found, _ = await told("gemini", response(200, body))

    assert found == [
        Answered(status=200, request_id="r1"),
        Text("Here you are."),
        Picture(data=PNG, media_type="image/png"),
        Usage(input_tokens=5, output_tokens=1290, total_tokens=1295),
    ]


async def test_an_answer_that_asks_to_be_continued_is_no_reason_for_a_second_call():
    body = success("gemini", PNG)
    body["candidates"][0] |= {"finishReason": "CONTINUATION", "continuationToken": "dG9rZW4="}

    found, _ = await told("gemini", response(200, body))

    assert len(pictures(found)) == 1


# --- what arrives: a new picture ---


async def test_azure_is_asked_at_its_deployment_with_its_key_and_version():
    _, asked = await told("azure-openai", response(200, success("azure-openai", PNG)))

    assert asked.path == "/openai/deployments/gpt-image-2/images/generations?api-version=2025-04-01-preview"
    assert asked.headers["api-key"] == KEY
    assert "authorization" not in asked.headers
    assert asked.headers["x-ms-client-request-id"] == "job_1"


async def test_openai_is_asked_with_a_bearer():
    _, asked = await told("openai", response(200, success("openai", PNG)))

    assert (asked.path, asked.headers["authorization"]) == ("/v1/images/generations", f"Bearer {KEY}")
    assert asked.headers["x-client-request-id"] == "job_1"


async def test_gemini_is_asked_at_its_model_with_its_key_the_words_to_avoid_and_the_shape():
    reply = response(200, success("gemini", PNG))

    _, asked = await told("gemini", reply, size="16:9", negative_prompt="text, logo")

    assert asked.path == "/v1beta/models/gemini-3-pro-image:generateContent"
    assert asked.headers["x-goog-api-key"] == KEY
    assert asked.headers["x-client-request-id"] == "job_1"
    assert asked.json == {
        "contents": [{"role": "user", "parts": [{"text": "a secret mug\n\nAvoid: text, logo"}]}],
        "generationConfig": {"responseModalities": ["TEXT", "IMAGE"], "imageConfig": {"aspectRatio": "16:9"}},
    }


@pytest.mark.parametrize("provider", OPENAI)
async def test_every_field_of_a_gpt_image_arrives_under_its_name_and_no_response_format(provider):
    fields = {
        "n": 2,
        "size": "1536x1024",
        "quality": "high",
        "background": "opaque",
        "output_format": "webp",
        "output_compression": 60,
    }

    _, asked = await told(provider, response(200, success(provider, PNG, PNG)), **fields)

    assert asked.json == {"model": "gpt-image-2", "prompt": "a secret mug", **fields}


async def test_dall_e_is_told_to_send_bytes():
    _, asked = await told("azure-openai", response(200, success("openai", PNG)), model="dall-e-3", style="vivid")

    assert asked.json == {
        "model": "dall-e-3",
        "prompt": "a secret mug",
        "n": 1,
        "style": "vivid",
        "response_format": "b64_json",
    }


# --- what arrives: the options of one provider ---


@pytest.mark.parametrize("provider", OPENAI)
async def test_an_option_fills_what_the_request_left_open_and_never_changes_what_is_bought(provider):
    options = {
        "moderation": "low",
        "background": "transparent",
        "quality": "high",
        "prompt": "another",
        "model": "other",
        "n": 10,
        "stream": True,
        "partial_images": 3,
        "response_format": "url",
        "output_format": "gif",
        "svg": {"model": "x"},
        "user": None,
    }

    found, asked = await told(
        provider,
        response(200, success(provider, PNG)),
        quality="low",
        options={provider: options, "gemini": {"seed": 1}},
    )

    assert asked.json == {
        "model": "gpt-image-2",
        "prompt": "a secret mug",
        "n": 1,
        "quality": "low",
        "moderation": "low",
        "background": "transparent",
    }
    assert ignored(found) == {f"options.{provider}.{k}" for k in options.keys() - {"moderation", "background", "user"}}


async def test_geminis_options_stand_where_google_reads_them():
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    options = {"imageSize": "2K", "aspectRatio": "1:1", "temperature": 0.5, "safetySettings": safety}

    found, asked = await told("gemini", response(200, success("gemini", PNG)), size="16:9", options={"gemini": options})

    assert asked.json["safetySettings"] == safety
    assert asked.json["generationConfig"] == {
        "responseModalities": ["TEXT", "IMAGE"],
        "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
        "temperature": 0.5,
    }
    assert ignored(found) == {"options.gemini.aspectRatio"}


async def test_gemini_options_that_are_not_the_callers_to_set_are_left_out_and_named():
    async with running_far_end() as elsewhere:
        options = {"httpOptions": {"baseUrl": elsewhere.url}, "http_options": {"base_url": elsewhere.url}, "tools": []}

        found, asked = await told("gemini", response(200, success("gemini", PNG)), options={"gemini": options})

        assert elsewhere.asked == []
    assert asked.json.keys() == {"contents", "generationConfig"}
    assert ignored(found) == {f"options.gemini.{k}" for k in options}


# --- what arrives: an edit ---


@pytest.mark.parametrize("provider", OPENAI)
@pytest.mark.parametrize(
    ("images", "mask", "files"),
    [
        ((A_JPEG,), None, [("image", "image0.jpeg", "image/jpeg", JPEG)]),
        (
            (A_JPEG,),
            A_PNG,
            [("image", "image0.jpeg", "image/jpeg", JPEG), ("mask", "mask.png", "image/png", PNG)],
        ),
        (
            (A_PNG, A_JPEG),
            A_PNG,
            [
                ("image[]", "image0.png", "image/png", PNG),
                ("image[]", "image1.jpeg", "image/jpeg", JPEG),
                ("mask", "mask.png", "image/png", PNG),
            ],
        ),
    ],
    ids=["one", "masked", "several"],
)
async def test_an_edit_sends_its_pictures_in_their_order_with_their_true_types(provider, images, mask, files):
    _, asked = await told(
        provider,
        response(200, success(provider, PNG)),
        images=images,
        mask=mask,
        n=2,
        size="1024x1024",
        options={provider: {"input_fidelity": "high", "image": "x", "mask": "y", "image[]": "z"}},
    )

    assert [part for part in asked.parts if part[1]] == files
    assert {name: data.decode() for name, file, _, data in asked.parts if not file} == {
        "model": "gpt-image-2",
        "prompt": "a secret mug",
        "n": "2",
        "size": "1024x1024",
        "input_fidelity": "high",
    }


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ("azure-openai", "/openai/deployments/dall-e-2/images/edits?api-version=2025-04-01-preview"),
        ("openai", "/v1/images/edits"),
    ],
)
async def test_an_edit_has_its_own_path_and_dall_e_is_told_to_send_bytes_there_too(provider, path):
    reply = response(200, success(provider, PNG))

    _, asked = await told(provider, reply, model="dall-e-2", images=(A_PNG,), output_format="png")

    assert asked.path == path
    assert {name: data.decode() for name, file, _, data in asked.parts if not file} == {
        "model": "dall-e-2",
        "prompt": "a secret mug",
        "n": "1",
        "response_format": "b64_json",
    }


@pytest.mark.parametrize("version", ["2024-02-01", "2025-03-01-preview"])
async def test_an_edit_on_an_old_azure_version_is_refused_before_any_call(version):
    async with running_far_end() as far, opened("azure-openai", far.url, version=version) as provider:
        with pytest.raises(ProviderError) as caught:
            await anext(provider.generate(order("azure-openai", images=(A_PNG,))))

        assert far.asked == []
    assert caught.value.error.details["reason"] == "provider_unconfigured"
    assert "AZURE_OPENAI_IMAGE_API_VERSION" in caught.value.error.message


async def test_gemini_gets_its_pictures_inline_in_their_order_and_the_words_last():
    _, asked = await told("gemini", response(200, success("gemini", PNG)), images=(A_JPEG, A_PNG))

    *inline, words = asked.json["contents"][0]["parts"]
    found = [part["inlineData"] for part in inline]
    assert [base64.urlsafe_b64decode(f["data"]) for f in found] == [JPEG, PNG]
    assert [f.get("mimeType", f.get("mime_type")) for f in found] == ["image/jpeg", "image/png"]
    assert words == {"text": "a secret mug"}


# --- against the simulator: the strict far ends that draw ---


@pytest.mark.parametrize("provider", EDITING)
async def test_the_strict_far_end_draws_what_is_ordered_and_one_client_serves_many_calls(provider, simulator):
    async with opened(provider, simulator.url) as client:
        for images in ((), (A_PNG, A_JPEG)):
            found = [s async for s in client.generate(order(provider, images=images))]
            assert len(pictures(found)) == 1

    assert [(c["client_request_id"], len(c["inputs"])) for c in simulator.bench.calls()] == [("job_1", 0), ("job_1", 2)]


@pytest.mark.parametrize("provider", ALL)
async def test_a_call_that_is_canceled_ends_at_once_and_leaves_the_client_usable(provider, simulator):
    async with opened(provider, simulator.url) as client:
        slow = order(provider)
        simulator.bench.delay = 5
        task = asyncio.create_task(anext(client.generate(slow)))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        simulator.bench.delay = 0

        found = [s async for s in client.generate(slow)]

    assert len(pictures(found)) == 1
