"""Automatic1111 as a provider, against a server that plays it."""

import asyncio
import contextlib
import hashlib
import io
import json

import pytest
from PIL import Image

from app.simulator.draw import draw
from jobs.catalog.families import Catalog
from jobs.errors import Outcome, ProviderError
from jobs.model.picture import Picture
from jobs.model.request import ImageRequest
from jobs.pictures.text_chunks import without_text
from jobs.providers.automatic1111 import Automatic1111
from jobs.providers.base import Accepted, Order, Progressed, Warned
from tests.neighbours.scripted_provider import b64, response, running_far_end

pytestmark = pytest.mark.anyio

SOURCE = Picture(data=draw("a mug", "beef", 64, 48), media_type="image/png")


def clear_on_the_left():
    mask, out = Image.new("RGBA", (64, 48), (0, 0, 0, 255)), io.BytesIO()
    mask.paste((0, 0, 0, 0), (0, 0, 32, 48))
    mask.save(out, "png")
    return Picture(data=out.getvalue(), media_type="image/png")


@pytest.fixture
async def webui(simulator):
    provider = Automatic1111(base_url=simulator.url, auth="user:right")
    await provider.open()
    yield provider
    await provider.close()


def order(prompt="A fox", n=1, images=(), mask=None, model="sd-xl", **request):
    asked = ImageRequest(**{"provider": "automatic1111", "model": model, "prompt": prompt, **request})
    family = Catalog.load().family("automatic1111", model)
    return Order(request=asked, family=family, n=n, images=images, mask=mask, timeout=60)


async def made(provider, wanted):
    return [step async for step in provider.generate(wanted)]


def of(kind, steps):
    return [step for step in steps if isinstance(step, kind)]


async def test_a_run_of_two_pictures_tells_how_far_it_is_and_keeps_its_words_to_itself(webui, simulator):
    wanted = order("[delay=3] A secret fox", n=2, size="128x64", negative_prompt="Text", seed=7, steps=30)

    steps = await made(webui, wanted)

    (call,) = simulator.bench.calls()
    pictures, shares = of(Picture, steps), [step.value for step in of(Progressed, steps)]
    asked = {name: call["fields"][name] for name in ("width", "height", "seed", "steps", "batch_size")}
    assert asked == {"width": 128, "height": 64, "seed": 7, "steps": 30, "batch_size": 2}
    assert call["fields"]["force_task_id"] == of(Accepted, steps)[0].handle
    assert call["model"] == "sd-xl.safetensors [31e35c80fc]"
    assert shares
    assert shares == sorted(shares)
    assert [Image.open(io.BytesIO(picture.data)).size for picture in pictures] == [(128, 64)] * 2
    assert not any(b"secret" in picture.data for picture in pictures)


@pytest.mark.parametrize("name", ["sd-xl", "sd-xl.safetensors", "31e35c80fc", "sd-xl.safetensors [31e35c80fc]"])
async def test_a_checkpoint_is_known_by_any_of_its_names(webui, simulator, name):
    await made(webui, order(model=name, size="64x64"))

    assert simulator.bench.calls()[0]["model"] == "sd-xl.safetensors [31e35c80fc]"


async def test_a_checkpoint_that_the_server_would_silently_replace_is_refused_before_anything_is_made(webui, simulator):
    with pytest.raises(ProviderError) as refused:
        await made(webui, order(model="sd-3"))

    assert refused.value.error.details["reason"] == "model_not_found"
    assert simulator.bench.calls() == []


async def test_an_edit_makes_anew_what_is_clear_in_the_mask_and_nothing_else(webui, simulator):
    (picture,) = of(Picture, await made(webui, order(images=(SOURCE,), mask=clear_on_the_left())))

    before, after = (Image.open(io.BytesIO(each.data)).convert("RGB") for each in (SOURCE, picture))
    left, right = (0, 0, 32, 48), (32, 0, 64, 48)
    assert simulator.bench.calls()[0]["inputs"] == [hashlib.sha256(SOURCE.data).hexdigest()]
    assert after.crop(right).tobytes() == before.crop(right).tobytes()
    assert after.crop(left).tobytes() != before.crop(left).tobytes()


async def test_options_of_drawing_are_taken_and_those_of_the_instance_are_not(webui, simulator):
    options = {"automatic1111": {"sampler_name": "DPM++ 2M", "cfg_scale": 5, "script_name": "x", "save_images": True}}

    steps = await made(webui, order(size="64x64", options=options))

    fields = simulator.bench.calls()[0]["fields"]
    assert (fields["sampler_name"], fields["cfg_scale"], fields["save_images"]) == ("DPM++ 2M", 5, False)
    assert "script_name" not in fields
    ignored = ["options.automatic1111.script_name", "options.automatic1111.save_images"]
    assert [warning.field for warning in of(Warned, steps)] == ignored


async def test_a_wrong_password_is_our_own_trouble(simulator):
    provider = Automatic1111(base_url=simulator.url, auth="user:wrong")
    await provider.open()

    with pytest.raises(ProviderError) as refused:
        await made(provider, order())

    await provider.close()
    assert (refused.value.outcome, refused.value.error.details["reason"]) == (Outcome.REFUSED, "provider_unavailable")


async def test_an_interrupt_is_sent_only_while_our_own_run_is_the_one_under_way(webui, simulator):
    first, second = [], []
    runs = [asyncio.create_task(begun(webui, "[delay=3] first", first))]
    await until(lambda: of(Progressed, first))
    runs.append(asyncio.create_task(begun(webui, "[delay=1] second", second)))
    await until(lambda: len(simulator.bench.calls()) == 2)

    while_it_waits = await webui.cancel(second[0].handle)
    while_it_runs = await webui.cancel(first[0].handle)
    await asyncio.gather(*runs)

    assert (while_it_waits, while_it_runs) == (False, True)
    assert len(of(Picture, second)) == 1


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (400, {"detail": "Sampler not found"}, "INVALID_INPUT", "Sampler not found"),
        (404, {"detail": "Sampler not found"}, "INVALID_INPUT", "Sampler not found"),
        (404, {"detail": "Not Found"}, "SERVICE_UNAVAILABLE", "does not know the address"),
        (422, {"detail": [{"loc": ["body", "steps"], "msg": "value is no integer"}]}, "INVALID_INPUT", "is no integer"),
        (500, {"error": "OutOfMemoryError", "detail": "", "errors": "CUDA out of memory"}, "SERVICE_UNAVAILABLE", ""),
    ],
    ids=["sampler", "an older server's sampler", "no such route", "field", "memory"],
)
async def test_what_the_server_refuses_is_the_callers_or_its_own_trouble(status, body, code, words):
    async with answering(response(status, body)) as provider:
        with pytest.raises(ProviderError) as refused:
            await made(provider, order(size="64x64"))

    assert (refused.value.outcome, refused.value.error.code) == (Outcome.REFUSED, code)
    assert words in refused.value.error.message


@pytest.mark.parametrize("kept", [-40, -2], ids=["in its words", "at its last byte"])
async def test_a_picture_that_came_before_its_answer_was_cut_is_kept(kept):
    answer = json.dumps({"images": [b64(SOURCE.data)], "parameters": {}, "info": '{"prompt": "A fox"}'}).encode()
    models = response(200, [{"title": "sd-xl", "model_name": "sd-xl", "hash": "1", "filename": "sd-xl"}])

    async with running_far_end(
        response(200, answer[:kept], content_length=str(len(answer)), connection="close")
    ) as far:
        far.replies["GET"] = models
        provider = Automatic1111(base_url=far.url, auth="")
        await provider.open()
        steps = await made(provider, order(size="64x64"))
        await provider.close()

    assert [picture.data for picture in of(Picture, steps)] == [without_text(SOURCE.data)]
    assert [warning.code for warning in of(Warned, steps)] == ["damaged_answer"]


async def test_a_run_whose_connection_is_cut_may_have_been_made(webui, simulator):
    with pytest.raises(ProviderError) as cut:
        await made(webui, order("[drop] A fox", size="64x64"))

    assert cut.value.outcome is Outcome.UNKNOWN
    assert len(simulator.bench.calls()) == 1


@contextlib.asynccontextmanager
async def answering(reply):
    """A server with one checkpoint that answers each run so."""
    async with running_far_end(reply) as far:
        far.replies["GET"] = response(200, [{"title": "sd-xl", "model_name": "sd-xl", "hash": "1", "filename": "x"}])
        provider = Automatic1111(base_url=far.url, auth="")
        await provider.open()
        yield provider
        await provider.close()


async def begun(provider, prompt, steps):
    async for step in provider.generate(order(prompt, size="64x64")):
        steps.append(step)


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # another loop's state
            await asyncio.sleep(0.01)
