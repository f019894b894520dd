"""Face 1 with the clients that people have: OpenAI's own, unchanged, in two languages and two Python generations."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.acceptance.test_edits import b64, png

CLIENTS = Path(__file__).parents[1] / "clients"
WALK = CLIENTS / "openai2" / "walk.py"
HOLE = (64, 64, 192, 192)
PICTURE = png((256, 256))
MASK = png((256, 256), hole=HOLE)


def python_3():
    return [sys.executable, str(WALK)]


def python_2():
    python = CLIENTS / "openai2" / ".venv" / "bin" / "python"
    if not python.is_file():
        pytest.skip("openai 2.54 is not installed: `scripts/test` does it")
    return [str(python), str(WALK)]


def javascript():
    node = shutil.which("node")
    if node is None or not (CLIENTS / "openai" / "node_modules").is_dir():
        pytest.skip("npm's openai is not installed: `npm ci` in tests/clients/openai")
    return [node, str(CLIENTS / "openai" / "walk.js")]


def keys(gateway):
    """Three new API keys: one that may do everything, one for another provider, one that may ask once a minute."""
    with gateway.client("walkers", scope="write:image-gen read:image-gen admin:image-gen") as client:

        def made(**fields):
            return client.post("/api/v1/keys", json={"name": "walk", **fields}).json()["data"]["key"]

        return {
            "key": made(),
            "narrow": made(scopes={"providerIds": ["gemini"]}),
            "limited": made(rateLimits={"requestsPerMinute": 1}),
        }


@pytest.fixture(scope="module", params=[python_3, python_2, javascript], ids=lambda client: client.__name__)
def walk(request, gateway, shared_simulator):
    """What a client found, and what the far end was asked meanwhile."""
    command = request.param()
    shared_simulator.bench.reset()
    told = {"url": gateway.url, "picture": b64(PICTURE), "mask": b64(MASK), **keys(gateway)}
    done = subprocess.run(command, input=json.dumps(told), text=True, capture_output=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), shared_simulator.bench


def calls(bench, prompt):
    return [call for call in bench.calls(prompt) if call["prompt"] == prompt]


def test_four_pictures_arrive_as_the_far_end_made_them(walk):
    found, bench = walk

    (call,) = calls(bench, "walk: four")
    assert found["generate"] == call["pictures"]
    assert len(set(found["generate"])) == 4


def test_a_picture_by_address_opens_and_is_the_one_that_was_made(walk):
    found, bench = walk

    (url,) = found["url"]
    (call,) = calls(bench, "walk: by address")
    assert hashlib.sha256(httpx.get(url).content).hexdigest() == call["pictures"][0]


def test_an_edit_shows_its_one_picture_to_the_far_end(walk):
    found, bench = walk

    (call,) = calls(bench, "walk: edit one")
    assert found["edit one"] == call["pictures"]
    assert len(call["inputs"]) == 1


def test_an_edit_of_three_pictures_shows_all_of_them(walk):
    found, bench = walk

    (call,) = calls(bench, "walk: edit three")
    assert len(call["inputs"]) == 3
    assert httpx.get(found["edit three"][0]).status_code == 200


def test_a_mask_reaches_the_far_end_with_its_hole(walk):
    found, bench = walk

    (call,) = calls(bench, "walk: edit masked")
    assert found["edit masked"] == call["pictures"]
    assert call["mask"] is not None


@pytest.mark.parametrize(("step", "kind"), [("stream", "image_generation"), ("edit stream", "image_edit")])
def test_a_stream_brings_two_previews_and_the_picture(walk, step, kind):
    found, bench = walk

    (call,) = calls(bench, f"walk: {step} [delay=0.9]")
    shown = [(event["type"], event["index"]) for event in found[step]]
    assert shown == [(f"{kind}.partial_image", 0), (f"{kind}.partial_image", 1), (f"{kind}.completed", None)]
    assert found[step][-1]["sha256"] == call["pictures"][0]
    assert len({event["sha256"] for event in found[step]}) == 3


def test_azures_client_generates_and_edits_on_azures_paths(walk):
    found, bench = walk

    (made,), (edited,) = calls(bench, "walk: azure"), calls(bench, "walk: azure edit")
    assert found["azure"] == made["pictures"]
    assert found["azure edit"] == edited["pictures"]
    assert len(edited["inputs"]) == 2


def test_the_models_that_can_be_asked_are_listed(walk):
    found, _ = walk

    assert found["model"] == "gpt-image-2"
    assert {"gpt-image-2", "dall-e-3", "gemini-3-pro-image"} <= set(found["models"])


CLASSES = {
    "bad request": ("BadRequestError", 400, "invalid_value", "size"),
    "policy": ("BadRequestError", 400, "content_policy_violation", "prompt"),
    "auth": ("AuthenticationError", 401, "invalid_api_key", None),
    "permission": ("PermissionDeniedError", 403, "permission_denied", "provider"),
    "not found": ("NotFoundError", 404, "model_not_found", "model"),
    "rate limit": ("RateLimitError", 429, "rate_limit_exceeded", None),
    "server": ("InternalServerError", 503, "service_unavailable", None),
    "stream": ("BadRequestError", 400, "content_policy_violation", "prompt"),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_refusal_is_the_class_that_the_client_has_for_it(walk, kind):
    found, _ = walk

    assert tuple(found["errors"][kind].values()) == CLASSES[kind]


def test_a_masked_edit_repaints_the_hole_alone(gateway):
    with httpx.Client(
        base_url=gateway.url, headers={"api-key": keys(gateway)["key"]}, timeout=60, trust_env=False
    ) as client:
        form = {"model": "gpt-image-2", "prompt": "a wooden table", "response_format": "url"}
        answer = client.post("/v1/images/edits", data=form, files={"image": PICTURE, "mask": MASK})
        made = Image.open(io.BytesIO(httpx.get(answer.json()["data"][0]["url"]).content)).convert("RGB")

    corners = [made.getpixel(place) for place in ((0, 0), (255, 0), (0, 255), (255, 255))]
    assert corners == [(200, 30, 30)] * 4
    assert made.crop(HOLE).getcolors() is None or len(made.crop(HOLE).getcolors()) > 1
