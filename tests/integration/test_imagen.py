"""Imagen as a provider: what is asked, and what its filter holds back."""

import io

import pytest
from PIL import Image

from app.simulator.draw import draw
from jobs.errors import Outcome
from jobs.model.picture import Picture
from jobs.providers.base import Warned
from tests.neighbours.scripted_provider import failed, opened, order, response, success, told

pytestmark = pytest.mark.anyio

PNG = draw("a mug", "beef", 64, 64, "png")


async def test_four_pictures_of_a_shape_come_in_one_call(simulator):
    wanted = order("imagen", n=4, size="16:9", negative_prompt="Text")

    async with opened("imagen", simulator.url) as imagen:
        steps = [step async for step in imagen.generate(wanted)]

    (call,) = simulator.bench.calls()
    pictures = [step for step in steps if isinstance(step, Picture)]
    assert [picture.index for picture in pictures] == [0, 1, 2, 3]
    assert {Image.open(io.BytesIO(picture.data)).size for picture in pictures} == {(1408, 768)}
    parameters = {"sampleCount": 4, "aspectRatio": "16:9", "negativePrompt": "Text", "includeRaiReason": True}
    assert call["fields"] == parameters


async def test_options_of_google_are_taken_and_none_that_change_what_is_bought():
    options = {"imagen": {"personGeneration": "dont_allow", "sampleCount": 4}}

    steps, asked = await told("imagen", response(200, success("imagen", PNG)), options=options)

    assert asked.path == "/v1beta/models/imagen-4.0-generate-001:predict"
    assert asked.json["parameters"]["personGeneration"] == "dont_allow"
    assert asked.json["parameters"]["sampleCount"] == 1
    assert [step.field for step in steps if isinstance(step, Warned)] == ["options.imagen.sampleCount"]


async def test_what_the_filter_held_back_is_left_out_of_what_it_did_not():
    body = {"predictions": [{"raiFilteredReason": "for its words"}, *success("imagen", PNG)["predictions"]]}

    steps, _ = await told("imagen", response(200, body), n=2)

    assert [step.data for step in steps if isinstance(step, Picture)] == [PNG]


async def test_a_filter_that_held_back_everything_says_why():
    error = await failed("imagen", response(200, {"predictions": [{"raiFilteredReason": "for its words"}]}))

    assert (error.outcome, error.error.details["reason"]) == (Outcome.REFUSED, "content_policy")
    assert error.error.message.endswith(": for its words")


async def test_an_answer_without_anything_is_a_bad_response():
    error = await failed("imagen", response(200, {}))

    assert error.outcome is Outcome.BAD_RESPONSE
