"""Servers of ComfyUI and Automatic1111 asked for their models, and tried out, by an administrator's word."""

import base64

import pytest

from jobs.client.engines import EngineModel, Engines
from jobs.errors import InvalidInput, ServiceUnavailable
from jobs.settings import Settings
from tests.neighbours.scripted_provider import CUT, response, running_far_end

pytestmark = pytest.mark.anyio
OWN_KEYS = {"COMFYUI_API_KEY": "the-deployments", "AUTOMATIC1111_API_AUTH": "the:deployments"}
SENT = {"comfyui": "Bearer ", "automatic1111": "Basic "}


def loader(*names):
    return {"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [list(names), {}]}}}}


def engines(own, **more):
    urls = {"COMFYUI_BASE_URL": own, "AUTOMATIC1111_BASE_URL": own}
    return Engines(Settings.load({**urls, **OWN_KEYS, **more}, env_file=None))


@pytest.mark.parametrize(
    ("engine", "answer", "models"),
    [
        ("comfyui", loader("a.safetensors", "b.ckpt"), ["a.safetensors", "b.ckpt"]),
        (
            "comfyui",
            {"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": ["COMBO", {"options": ["a.ckpt"]}]}}}},
            ["a.ckpt"],
        ),
        ("comfyui", {}, []),
        ("comfyui", [], []),
        ("automatic1111", [{"title": "a.ckpt [0123456789]", "model_name": "a"}, None, {}], ["a.ckpt [0123456789]"]),
        ("automatic1111", {"detail": "Not Found"}, []),
    ],
)
async def test_a_servers_models_are_read_from_whatever_it_says(engine, answer, models):
    async with running_far_end(response(200, answer)) as far:
        found = await engines(far.url).models(engine)

    assert [model.id for model in found] == models
    assert far.asked[0].headers["authorization"].startswith(SENT[engine])


async def test_a_title_has_its_models_name():
    async with running_far_end(response(200, [{"title": "a.ckpt [01]", "model_name": "a"}])) as far:
        assert await engines(far.url).models("automatic1111") == [EngineModel("a.ckpt [01]", "a")]


@pytest.mark.parametrize("reply", [response(401), response(500), response(200, b"<html>"), CUT])
@pytest.mark.parametrize("engine", ["comfyui", "automatic1111"])
async def test_a_server_that_does_not_say_is_away(engine, reply):
    async with running_far_end(reply) as far:
        with pytest.raises(ServiceUnavailable):
            await engines(far.url).models(engine)
        with pytest.raises(InvalidInput):
            await engines(far.url).verify(engine, "", "")


@pytest.mark.parametrize("engine", ["comfyui", "automatic1111"])
async def test_the_deployments_key_goes_to_the_deployments_server_alone(engine):
    async with running_far_end(response(200, {})) as own, running_far_end(response(200, {})) as other:
        asking = engines(own.url, IMAGE_REF_ALLOWED_NETWORKS="127.0.0.0/8")

        await asking.verify(engine, own.url, "")
        await asking.verify(engine, other.url, "")
        await asking.verify(engine, other.url, "an:administrators")

    key = base64.b64encode(b"an:administrators").decode() if engine == "automatic1111" else "an:administrators"
    assert own.asked[0].headers["authorization"].startswith(SENT[engine])
    assert [asked.headers.get("authorization") for asked in other.asked] == [None, f"{SENT[engine]}{key}"]


async def test_of_the_deployments_server_nothing_else_is_asked_whatever_the_address():
    async with running_far_end(response(200, {})) as own:
        await engines(own.url).verify("comfyui", f"{own.url}/prompt?x=", "")

    assert own.asked[0].path == "/object_info/CheckpointLoaderSimple"


@pytest.mark.parametrize("key", ["a\r\nX-Injected: 1", "schlüssel"])
async def test_a_key_that_no_header_can_hold_is_refused(key):
    async with running_far_end(response(200, {})) as own:
        with pytest.raises(InvalidInput):
            await engines(own.url).verify("comfyui", own.url, key)

    assert own.asked == []


@pytest.mark.parametrize("engine", ["comfyui", "automatic1111"])
async def test_where_there_is_no_server_there_are_no_models(engine):
    assert await engines("").models(engine) == []


async def test_a_private_address_is_asked_for_nothing():
    async with running_far_end(response(200, {})) as other:
        with pytest.raises(InvalidInput):
            await engines("").verify("comfyui", other.url, "")

    assert other.asked == []
