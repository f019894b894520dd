"""Every field that the installed SDK knows: seen at the far end, or refused by its name, and none forgotten."""

import typing

import httpx
import pytest
from openai.types import image_edit_params as edited
from openai.types import image_generate_params as made

from tests.acceptance.test_edits import png
from tests.acceptance.test_openai_face import EDITS, GENERATIONS, refused

PICTURE = png((256, 256))
MASK = png((256, 256), hole=(10, 10, 90, 90))
GPT = {"model": "gpt-image-2", "size": "256x256"}
EARLIER = {"model": "gpt-image-1.5", "size": "1024x1024"}
DALLE = {"model": "dall-e-3", "size": "1024x1024"}
ARRIVES = {
    "model": [("gpt-image-2", GPT), ("dall-e-3", DALLE)],
    "n": [(2, GPT)],
    "size": [("512x768", GPT), ("auto", GPT), ("1792x1024", DALLE)],
    "quality": [(value, GPT) for value in ("low", "medium", "high", "xhigh", "max", "auto")]
    + [(value, DALLE) for value in ("standard", "hd")],
    "style": [("vivid", DALLE), ("natural", DALLE)],
    "background": [("transparent", GPT), ("opaque", GPT), ("auto", GPT)],
    "output_format": [("png", GPT), ("webp", GPT), ("jpeg", GPT)],
    "output_compression": [(40, {**GPT, "output_format": "jpeg"})],
    "moderation": [("low", GPT), ("auto", GPT)],
    "user": [("end-user-1", GPT)],
    "safety_identifier": [("hash-of-a-user", GPT)],
    "partial_images": [(2, {**GPT, "stream": True})],
    "stream": [(True, {**GPT, "partial_images": 1})],
    "input_fidelity": [("high", EARLIER), ("low", EARLIER)],
}
"""Values that the far end sees as they were sent, and what is sent beside them."""
HERE = {"response_format", "prompt", "image", "mask"}
"""Honoured otherwise: the prompt and the pictures by their own tests below, the format of the answer by us."""
REFUSED = {"complexity": "low", "frame_count": 4, "frame_duration_ms": 100, "svg": {"model": "x"}, "markup": None}
"""Of previews that this gateway does not offer: animations, vectors, markup."""


def known(*kinds):
    return {name for kind in kinds for name in typing.get_type_hints(kind)}


GENERATE = known(made.ImageGenerateParamsNonStreaming, made.ImageGenerateParamsStreaming)
EDIT = known(edited.ImageEditParamsNonStreaming, edited.ImageEditParamsStreaming)


@pytest.fixture(scope="module")
def client(gateway):
    with gateway.client("fields") as client:
        yield client


def test_no_field_of_the_sdk_is_forgotten_here():
    assert set(ARRIVES) | HERE | set(REFUSED) == EDIT | GENERATE


@pytest.mark.parametrize(
    ("name", "value", "beside"),
    [(name, value, beside) for name in ARRIVES if name in GENERATE for value, beside in ARRIVES[name]],
)
def test_a_generations_field_arrives_at_the_far_end(client, shared_simulator, name, value, beside):
    prompt = f"generate {name}={value} at {beside['model']}."

    answer = client.post(GENERATIONS, json={**beside, "prompt": prompt, name: value})

    assert answer.status_code == 200, answer.text
    assert arrived(shared_simulator, prompt, name, value)


@pytest.mark.parametrize(
    ("name", "value", "beside"),
    [(n, v, beside) for n in ARRIVES if n in EDIT for v, beside in ARRIVES[n] if beside["model"] != "dall-e-3"],
)
def test_an_edits_field_arrives_at_the_far_end(client, shared_simulator, name, value, beside):
    prompt = f"edit {name}={value}."
    form = {key: str(sent) for key, sent in {**beside, "prompt": prompt, name: value}.items()}

    answer = client.post(EDITS, data=form, files={"image": PICTURE})

    assert answer.status_code == 200, answer.text
    assert arrived(shared_simulator, prompt, name, value)


def test_prompt_pictures_and_mask_arrive_and_the_format_is_ours(client, shared_simulator):
    form = {**GPT, "prompt": "all of them.", "response_format": "url"}
    files = [("image[]", PICTURE), ("image[]", PICTURE), ("mask", MASK)]

    answer = client.post(EDITS, data=form, files=files)

    (call,) = shared_simulator.bench.calls("all of them.")
    assert (len(call["inputs"]), call["mask"] is not None) == (2, True)
    assert "response_format" not in call["fields"]
    assert httpx.get(answer.json()["data"][0]["url"]).status_code == 200


@pytest.mark.parametrize("name", sorted(set(REFUSED) - {"markup"}))
def test_what_is_not_offered_is_refused_by_its_name(client, name):
    answer = client.post(GENERATIONS, json={**GPT, "prompt": "x", name: REFUSED[name]})

    refused(answer, 400, "unknown_parameter", name)


@pytest.mark.parametrize("value", ["gif", "svg"])
def test_a_format_that_nobody_here_makes_is_refused(client, value):
    refused(
        client.post(GENERATIONS, json={**GPT, "prompt": "x", "output_format": value}),
        400,
        "invalid_value",
        "output_format",
    )


@pytest.mark.parametrize("model", ["dall-e-3", "gemini-3-pro-image"])
@pytest.mark.parametrize("wanted", ["png", "jpeg", "webp"])
def test_a_format_is_honoured_also_where_the_model_has_it_not(client, model, wanted):
    body = {"model": model, "prompt": "formats", "output_format": wanted, "response_format": "url"}

    answer = client.post(GENERATIONS, json=body)

    picture = httpx.get(answer.json()["data"][0]["url"])
    assert picture.headers["content-type"] == f"image/{wanted}"
    assert answer.json()["output_format"] == wanted


def arrived(shared_simulator, prompt, name, value):
    """Whether the one call of the prompt had the field, as it is or as a form's text."""
    (call,) = shared_simulator.bench.calls(prompt)
    seen = call["model"] if name == "model" else call["fields"].get(name)
    return seen == value or str(seen).lower() == str(value).lower()
