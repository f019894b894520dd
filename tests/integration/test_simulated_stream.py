"""The simulated far end's stream, read by the official client itself: what it sends, and what it refuses."""

import base64
import io

import pytest
from openai import APIError, AsyncOpenAI, BadRequestError
from openai.types import (
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
)
from PIL import Image

from app.simulator.draw import draw

pytestmark = pytest.mark.anyio

PNG = draw("a mug", "beef", 64, 64, "png")
GPT = {"model": "gpt-image-2", "prompt": "a mug", "size": "256x256"}


@pytest.fixture
async def client(simulator):
    async with AsyncOpenAI(api_key="a-key", base_url=f"{simulator.url}/v1", max_retries=0) as client:
        yield client


async def test_a_generation_is_streamed_as_the_client_knows_it(client):
    told = {**GPT, "stream": True, "partial_images": 2, "output_format": "webp", "quality": "low"}

    events = [event async for event in await client.images.generate(**told)]

    assert [type(e) for e in events] == [ImageGenPartialImageEvent] * 2 + [ImageGenCompletedEvent]
    assert [e.partial_image_index for e in events[:2]] == [0, 1]
    assert {(e.size, e.quality, e.output_format) for e in events} == {("256x256", "low", "webp")}
    assert events[-1].usage.total_tokens == events[-1].usage.input_tokens + events[-1].usage.output_tokens
    shown = [Image.open(io.BytesIO(base64.b64decode(e.b64_json))) for e in events]
    assert {(p.format, p.size) for p in shown} == {("WEBP", (256, 256))}


async def test_an_edit_is_streamed_as_the_client_knows_it(client, simulator):
    told = {"size": "256x256", "stream": True, "partial_images": 1, "input_fidelity": "high"}

    edited = client.images.edit(image=("a.png", PNG, "image/png"), model="gpt-image-2", prompt="a mug", **told)
    events = [event async for event in await edited]

    assert [type(e) for e in events] == [ImageEditPartialImageEvent, ImageEditCompletedEvent]
    assert simulator.bench.calls()[0]["fields"] == told


async def test_a_stream_without_previews_is_one_event(client):
    events = [e async for e in await client.images.generate(**GPT, stream=True, partial_images=0)]

    assert [type(e) for e in events] == [ImageGenCompletedEvent]


@pytest.mark.parametrize(("fault", "code"), [("error-stream", "server_error"), ("refuse-stream", "moderation_blocked")])
async def test_an_error_within_a_stream_is_one_to_the_client(client, fault, code):
    stream = await client.images.generate(**GPT | {"prompt": f"[{fault}]"}, stream=True, partial_images=2)

    with pytest.raises(APIError) as caught:
        [event async for event in stream]

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"partial_images": 2}, "partial_images"),
        ({"partial_images": 4, "stream": True}, "partial_images"),
        ({"stream": True, "n": 2}, "n"),
        ({"stream": True, "model": "dall-e-3", "size": "1024x1024"}, "stream"),
        ({"moderation": "none"}, "moderation"),
        ({"moderation": "low", "model": "dall-e-2"}, "moderation"),
    ],
)
async def test_what_the_real_one_refuses_is_refused(client, simulator, fields, param):
    with pytest.raises(BadRequestError) as caught:
        await client.images.generate(**GPT | fields)

    assert caught.value.param == param
    assert simulator.bench.calls() == []
