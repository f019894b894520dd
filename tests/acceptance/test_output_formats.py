"""The output format that was asked for, whoever makes it; and what a picture is kept as when nobody can."""

import hashlib
import io

import httpx
import pytest
from PIL import Image

from tests.acceptance.conftest import JOBS

GEMINI = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview"}
GPT = {"provider": "openai", "model": "gpt-image-2", "size": "256x256"}
EARLIER = {**GPT, "model": "gpt-image-1.5", "size": "1024x1024"}
DALL_E = {"provider": "azure-openai", "model": "dall-e-3"}


def made(gateway, prompt, **fields):
    with gateway.client() as client:
        created = client.post(JOBS, json={"prompt": prompt, **fields})
        assert created.status_code == 202, created.text
        job = client.get(f"{JOBS}/{created.json()['data']['id']}?wait=60&until=terminal").json()["data"]
    assert job["status"] == "succeeded", job
    return job, httpx.get(job["result"]["url"]).content


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("model", [GEMINI, GPT, DALL_E], ids=lambda m: m["model"])
def test_each_provider_gives_each_format(gateway, shared_simulator, model, form):
    prompt = f"a {form} by {model['model']}"

    job, data = made(gateway, prompt, **model, outputFormat=form)

    result, (call,) = job["result"], shared_simulator.bench.calls(prompt)
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert (picture.format.lower(), result["mimeType"], result["url"][-4:]) == (
        form,
        f"image/{form}",
        {"png": ".png", "jpeg": ".jpg", "webp": "webp"}[form],
    )
    assert (result["bytes"], (result["width"], result["height"])) == (len(data), picture.size)
    assert call["fields"].get("output_format") == (form if model is GPT else None)
    assert "warnings" not in result


def test_a_picture_that_is_right_already_is_kept_byte_for_byte(gateway, shared_simulator):
    job, data = made(gateway, "as it came", **GEMINI, outputFormat="jpeg")

    (call,) = shared_simulator.bench.calls("as it came")
    assert call["pictures"] == [hashlib.sha256(data).hexdigest()]
    assert job["billing"]["providerCalls"] == 1


@pytest.mark.parametrize("model", [GEMINI, DALL_E], ids=lambda m: m["model"])
def test_compression_is_ours_to_do_where_the_provider_knows_none(gateway, model):
    sizes = [
        len(made(gateway, "pressed", **model, outputFormat="jpeg", outputCompression=quality)[1])
        for quality in (10, 90)
    ]

    assert sizes[0] * 2 < sizes[1]


def test_compression_is_the_providers_where_it_knows_it(gateway, shared_simulator):
    _, data = made(gateway, "pressed there", **GPT, outputFormat="webp", outputCompression=40)

    (call,) = shared_simulator.bench.calls("pressed there")
    assert (call["fields"]["output_format"], call["fields"]["output_compression"]) == ("webp", 40)
    assert call["pictures"] == [hashlib.sha256(data).hexdigest()]


@pytest.mark.parametrize(("asked", "came"), [("webp", "PNG"), ("png", "JPEG")])
def test_a_provider_that_sends_another_format_than_it_was_asked_for_is_put_right(
    gateway, shared_simulator, asked, came
):
    job, data = made(gateway, f"[other-format] {came}", **GPT, outputFormat=asked, n=2)

    (call,) = shared_simulator.bench.calls(f"[other-format] {came}")
    assert call["fields"]["output_format"] == asked
    assert Image.open(io.BytesIO(data)).format == asked.upper()
    assert [image["mimeType"] for image in job["result"]["images"]] == [f"image/{asked}"] * 2


@pytest.mark.parametrize("model", [GEMINI, GPT], ids=lambda m: m["model"])
def test_a_picture_that_cannot_be_converted_is_kept_as_it_came_and_says_so(gateway, shared_simulator, model):
    prompt = f"[torn] {model['model']}"

    job, data = made(gateway, prompt, **model, outputFormat="webp")

    (call,) = shared_simulator.bench.calls(prompt)
    assert call["pictures"] == [hashlib.sha256(data).hexdigest()]
    assert job["result"]["mimeType"] == "image/png"
    assert [w["field"] for w in job["warnings"]] == ["outputFormat"]


def test_a_format_that_nobody_makes_is_refused_naming_the_field(gateway):
    with gateway.client() as client:
        answers = [client.post(JOBS, json={"prompt": "a", **GEMINI, "outputFormat": form}) for form in ("gif", "svg")]

    assert [a.status_code for a in answers] == [400, 400]
    assert all(a.json()["error"]["details"]["field"] == "outputFormat" for a in answers)
    assert all("png, jpeg or webp" in a.json()["error"]["message"] for a in answers)


def test_what_is_asked_of_the_provider_arrives_there(gateway, shared_simulator):
    asked = {"moderation": "low", "user": "u1", "safetyIdentifier": "s1", "inputFidelity": "high", **EARLIER}
    reference = made(gateway, "a reference", **GPT)[0]["result"]["url"]

    job, _ = made(gateway, "all words", **asked, referenceImage={"url": reference, "mimeType": "image/png"})

    (call,) = shared_simulator.bench.calls("all words")
    words = {"moderation": "low", "user": "u1", "safety_identifier": "s1", "input_fidelity": "high"}
    assert words.items() <= call["fields"].items()
    assert {name: job["request"][name] for name in asked} == asked
    assert "warnings" not in job
