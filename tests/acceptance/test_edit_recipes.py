"""The documented edits, as people paste them: curl, links of the answers, Azure's own storage."""

import asyncio
import base64
import io
import json
import subprocess

import httpx
import pytest
from PIL import Image, ImageChops

from jobs.blobs.azure import AzureBlobs
from tests.acceptance.conftest import AGENTS, MUG
from tests.neighbours.gateway import running_gateway, token
from tests.neighbours.picture_host import running_picture_host
from tests.neighbours.redis_server import running_redis

SIZE = (1024, 1024)
HOLE = (256, 128, 512, 640)
SEPIA = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "Add a subtle sepia tone"}
TABLE = {
    "provider": "azure-openai",
    "model": "gpt-image-2",
    "prompt": "Replace the masked area with a wooden table",
    "size": "1024x1024",
}
WATERCOLOUR = """
B64=$(base64 -w0 "$INPUT")
curl -s -X POST $GATEWAY/api/v1/agents/images \
-H "Authorization: Bearer $JWT" \
-H "Content-Type: application/json" \
-d "{
\\"provider\\": \\"azure-openai\\",
\\"model\\": \\"gpt-image-2\\",
\\"prompt\\": \\"Make it look like a watercolor painting\\",
\\"size\\": \\"1024x1024\\",
\\"quality\\": \\"low\\",
\\"referenceImage\\": { \\"b64\\": \\"$B64\\", \\"mimeType\\": \\"image/png\\" }
}"
"""
SUNSET = """
curl -s -X POST $GATEWAY/api/v1/agents/images \
-H "Authorization: Bearer $JWT" \
-H "Content-Type: application/json" \
-d "{
\\"provider\\": \\"gemini\\",
\\"model\\": \\"gemini-3.1-flash-image-preview\\",
\\"prompt\\": \\"Replace the sky with a sunset\\",
\\"referenceImage\\": {
\\"url\\": \\"$PREV_URL\\",
\\"mimeType\\": \\"image/png\\"
}
}"
"""
INPAINTING = """
curl -s -X POST $GATEWAY/api/v1/agents/images \
-H "Authorization: Bearer $JWT" \
-H "Content-Type: application/json" \
-d "{
\\"provider\\": \\"azure-openai\\",
\\"model\\": \\"gpt-image-2\\",
\\"prompt\\": \\"Replace the masked area with a wooden table\\",
\\"size\\": \\"1024x1024\\",
\\"referenceImage\\": { \\"url\\": \\"$REF_URL\\", \\"mimeType\\": \\"image/png\\" },
\\"mask\\": { \\"url\\": \\"$MASK_URL\\" }
}"
"""
INPAINTING_BY_BASE64 = INPAINTING.replace('\\"url\\": \\"$REF_URL\\"', '\\"b64\\": \\"$(base64 -w0 $REF)\\"').replace(
    '\\"url\\": \\"$MASK_URL\\"', '\\"b64\\": \\"$(base64 -w0 $MASK)\\"'
)


def picture(hole=None):
    """Noise-free and small as PNG: a gradient, with a transparent hole where one is asked for."""
    image = Image.linear_gradient("L").resize(SIZE).convert("RGBA")
    if hole:
        image.paste((0, 0, 0, 0), hole)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def opened(url):
    return Image.open(io.BytesIO(httpx.get(url).content)).convert("RGB")


def changed(before, after):
    return ImageChops.difference(before.convert("RGB"), after).getbbox()


@pytest.fixture(scope="module")
def host():
    with running_picture_host({"/a.png": picture(), "/mask.png": picture(HOLE)}) as host:
        yield host


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    """One that may fetch from loopback."""
    outside = {"IMAGE_REF_ALLOWED_HOSTS": "127.0.0.1", "IMAGE_REF_ALLOWED_NETWORKS": "127.0.0.0/8"}
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, **outside) as running:
        yield running


def curl(command, gateway, **variables):
    environment = {"PATH": gateway.environment["PATH"], "GATEWAY": gateway.url, "JWT": token("acme"), **variables}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, check=True, timeout=60)
    answer = json.loads(done.stdout)
    assert "data" in answer, answer
    return answer["data"]


def test_the_curl_that_edits_by_url(gateway, host):
    made = curl(SUNSET, gateway, PREV_URL=f"{host.url}/a.png?sv=a-signature")

    assert made["mode"] == "edit"
    assert "/a.png?sv=a-signature" in host.asked


def test_the_curl_that_edits_by_base64(gateway, tmp_path):
    (tmp_path / "input.png").write_bytes(picture())

    assert curl(WATERCOLOUR, gateway, INPUT=str(tmp_path / "input.png"))["mode"] == "edit"


def test_the_curl_that_repaints_a_mask_by_url_changes_the_masked_pixels_alone(gateway, host):
    made = curl(INPAINTING, gateway, REF_URL=f"{host.url}/a.png", MASK_URL=f"{host.url}/mask.png")

    assert changed(Image.open(io.BytesIO(picture())), opened(made["url"])) == HOLE


def test_the_curl_that_repaints_a_mask_by_base64_changes_the_masked_pixels_alone(gateway, tmp_path):
    for name, data in (("ref.png", picture()), ("mask.png", picture(HOLE))):
        (tmp_path / name).write_bytes(data)

    made = curl(INPAINTING_BY_BASE64, gateway, REF=str(tmp_path / "ref.png"), MASK=str(tmp_path / "mask.png"))

    assert changed(Image.open(io.BytesIO(picture())), opened(made["url"])) == HOLE


@pytest.mark.parametrize("public", ["1", "0"])
def test_generate_then_iterate_chains_three_times_on_azures_storage(redis_url, simulator, azurite, public):
    storage = {
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string,
        "AZURE_STORAGE_CONTAINER": f"chain-{public}",
        "AZURE_STORAGE_PUBLIC": public,
    }
    hole = base64.b64encode(picture(HOLE)).decode()
    with running_gateway(redis_url, simulator, **storage) as gateway, gateway.client() as client:
        made = [client.post(AGENTS, json=MUG).json()["data"]]
        for body in (SEPIA, {**TABLE, "mask": {"b64": hole}}, SEPIA):
            before = made[-1]
            reference = {"url": before["url"], "mimeType": before["mimeType"]}
            answer = client.post(AGENTS, json={**body, "referenceImage": reference})
            assert answer.status_code == 200, answer.text
            made.append(answer.json()["data"])

    assert all(m["url"].startswith(f"{azurite.url}/chain-{public}/images/acme/") for m in made)
    assert all(("?" in m["url"]) is (public == "0") for m in made)
    assert changed(opened(made[1]["url"]), opened(made[2]["url"])) == HOLE


def test_another_container_of_the_storage_host_is_a_strangers_and_goes_through_the_guard(redis_url, simulator, azurite):
    async def put():
        other = AzureBlobs("other", public=True, connection_string=azurite.connection_string, account_url=None)
        await other.open()
        await other.put("images/acme/a.png", picture(), "image/png")
        await other.close()

    asyncio.run(put())
    storage = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string, "AZURE_STORAGE_CONTAINER": "ours"}
    body = {**SEPIA, "referenceImage": {"url": f"{azurite.url}/other/images/acme/a.png", "mimeType": "image/png"}}
    with running_gateway(redis_url, simulator, **storage) as gateway, gateway.client() as client:
        refused = client.post(AGENTS, json=body)
    networks = {"IMAGE_REF_ALLOWED_NETWORKS": "127.0.0.0/8"}
    with running_gateway(redis_url, simulator, **storage, **networks) as gateway, gateway.client() as client:
        let_in = client.post(AGENTS, json=body)

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert "is no address that we fetch from" in refused.json()["error"]["message"]
    assert let_in.status_code == 200


def test_an_azure_version_that_knows_no_edits_is_503_naming_the_variable(redis_url, simulator):
    old = {"AZURE_OPENAI_IMAGE_API_VERSION": "2024-02-01"}
    reference = {"b64": base64.b64encode(picture()).decode(), "mimeType": "image/png"}
    with running_gateway(redis_url, simulator, **old) as gateway, gateway.client() as client:
        generated = client.post(AGENTS, json=MUG)
        edited = client.post(AGENTS, json={**TABLE, "referenceImage": reference})

    error = edited.json()["error"]
    assert generated.status_code == 200
    assert (edited.status_code, error["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert error["details"]["reason"] == "provider_unconfigured"
    assert "AZURE_OPENAI_IMAGE_API_VERSION" in error["message"]
    assert simulator.bench.calls(TABLE["prompt"]) == []
