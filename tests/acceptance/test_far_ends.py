"""What far ends send, through a whole gateway: every picture is kept as it is, and operators hear of their trouble."""

import io
import json
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests import webhook_calls
from tests.acceptance.conftest import JOBS
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.odd_provider import running_odd_provider
from tests.neighbours.redis_server import running_redis
from tests.neighbours.webhook_receiver import running_receiver
from tests.unit.jobs.picture_files import IEND, chunk, header, png, rows, segment
from tests.webhook_calls import LOOPBACK

GPT = {"provider": "openai", "model": "gpt-image-2", "size": "256x256"}
IDAT = chunk(b"IDAT", rows())


def saved(form, **options):
    out = io.BytesIO()
    Image.effect_noise((48, 32), 30).convert("RGB").save(out, form, **options)
    return out.getvalue()


JPEG = saved("JPEG")
BAD_EXIF = b"\xff\xe1\0\x16Exif\0\0MM\0*\xff\xff\xff\xff\0\x01\x01\x12"
FAR_VALUE = segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0f\0\x02\0\0\xff\xff\xff\xff\xff\xff")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="48" height="32"></svg>'
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0\0\0\x14ispe\0\0\0\0\0\0\0\x30\0\0\0\x20"
KEPT = {
    "avif": ("image/avif", saved("AVIF", speed=10)),
    "gif": ("image/gif", saved("GIF")),
    "heic": ("image/heic", HEIC),
    "tiff": ("image/tiff", saved("TIFF")),
    "bmp": ("image/bmp", saved("BMP")),
    "jpeg 2000": ("image/jp2", saved("JPEG2000")),
    "svg": ("image/svg+xml", SVG),
    "damaged exif": ("image/jpeg", JPEG[:2] + BAD_EXIF + JPEG[2:]),
    "exif without its values": ("image/jpeg", JPEG[:2] + FAR_VALUE + JPEG[2:]),
    "broken mpf": ("image/jpeg", JPEG[:2] + b"\xff\xe2\0\x0aMPF\0II*\0" + JPEG[2:]),
    "bare segments": ("image/jpeg", JPEG[:2] + b"\xff\xe0\0\x07JFIF\0\xff\xee\0\x07Adobe" + JPEG[2:]),
    "text": ("image/png", png(header(48, 32), chunk(b"zTXt", b"k\0\0" + rows(1, 2**21)), chunk(b"IDAT", b"x"), IEND)),
    "profile": (
        "image/png",
        png(header(48, 32), chunk(b"iCCP", b"k\0\0" + rows(1, 2**21)), chunk(b"IDAT", b"x"), IEND),
    ),
    "bad checksum": ("image/png", png(header(48, 32), chunk(b"tEXt", b"a\0b", crc=7), IDAT, IEND)),
    "wrong lengths": ("image/png", png(header(48, 32), chunk(b"sRGB", b""), chunk(b"cHRM", b"x"), IDAT, IEND)),
}


@pytest.fixture(scope="module")
def far():
    with running_odd_provider() as far:
        yield far


@pytest.fixture(scope="module")
def gateway(far, shared_simulator, tmp_path_factory):
    told = {**LOOPBACK, "OPENAI_BASE_URL": f"{far.url}/v1", "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9"}
    logs = tmp_path_factory.mktemp("logs")
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, logs=logs, **told) as running:
        yield running


def made(gateway, prompt, **fields):
    with gateway.client() as client:
        created = client.post(JOBS, json={"prompt": prompt, **GPT, **fields}).json()["data"]
        return client.get(f"{JOBS}/{created['id']}?wait=60&until=terminal").json()["data"]


@pytest.mark.parametrize("prompt", KEPT)
def test_a_picture_is_kept_byte_for_byte_under_its_own_type_with_its_size(gateway, far, prompt):
    kind, data = KEPT[prompt]
    far.pictures[prompt] = data

    job = made(gateway, prompt)

    assert (job["status"], job["billing"]["state"], far.calls[prompt]) == ("succeeded", "billed", 1)
    result = job["result"]
    assert (result["mimeType"], result.get("width"), result.get("height")) == (kind, 48, 32)
    answer = httpx.get(result["url"])
    assert (answer.content, answer.headers["content-type"].partition(";")[0]) == (data, kind)
    assert "warnings" not in job


@pytest.mark.parametrize("prompt", ["avif", "bmp", "gif", "jpeg 2000", "tiff"])
def test_an_answer_in_any_format_that_is_decoded_may_be_the_next_reference(gateway, far, shared_simulator, prompt):
    kind, far.pictures[prompt] = KEPT[prompt]
    reference = {"url": made(gateway, prompt)["result"]["url"], "mimeType": kind}

    job = made(gateway, f"{prompt} again", provider="azure-openai", referenceImage=reference)

    assert job["status"] == "succeeded", job
    (call,) = shared_simulator.bench.calls(f"{prompt} again")
    assert len(call["inputs"]) == 1


def test_a_picture_of_more_than_50_megapixels_is_kept_and_says_that_it_was_not_converted(gateway, far):
    far.pictures["huge"] = png(header(8000, 7000), IDAT, IEND)

    job = made(gateway, "huge", outputFormat="webp")

    assert (job["status"], job["result"]["width"], job["result"]["height"]) == ("succeeded", 8000, 7000)
    assert [w["field"] for w in job["warnings"]] == ["outputFormat"]
    assert httpx.get(job["result"]["url"]).content == far.pictures["huge"]


def test_a_torn_picture_is_kept_with_a_warning(gateway, far):
    far.pictures["torn"] = JPEG[: len(JPEG) // 2]

    job = made(gateway, "torn")

    assert (job["status"], job["result"]["mimeType"]) == ("succeeded", "image/jpeg")
    assert [w["code"] for w in job["warnings"]] == ["damaged_picture"]
    assert httpx.get(job["result"]["url"]).content == far.pictures["torn"]


def test_a_picture_that_does_not_say_its_size_is_kept_with_a_warning(gateway, far):
    far.pictures["sizeless"] = b"<svg></svg>"

    job = made(gateway, "sizeless")

    assert job["status"] == "succeeded"
    assert not {"width", "height"} & job["result"].keys()
    assert [w["code"] for w in job["warnings"]] == ["damaged_picture"]
    with gateway.client() as client:
        answer = client.post(
            "/v1/images/generations", json={"model": "openai/gpt-image-2", "prompt": "sizeless"}
        ).json()
    assert "size" not in answer


def test_sixteen_bits_of_grey_are_scaled_and_not_cut_off(gateway, far):
    out = io.BytesIO()
    Image.new("I;16", (48, 32), 0x4080).save(out, "PNG")
    far.pictures["grey"] = out.getvalue()

    job = made(gateway, "grey", outputFormat="jpeg")

    picture = Image.open(io.BytesIO(httpx.get(job["result"]["url"]).content)).convert("L")
    assert job["result"]["mimeType"] == "image/jpeg"
    assert abs(picture.getpixel((20, 20)) - 0x40) <= 2


@pytest.mark.parametrize(
    ("prompt", "answer", "kept", "state"),
    [
        ("garbage", {"data": [{"b64_json": "dGhpcyBpcyBubyBwaWN0dXJl"}]}, b"this is no picture", "billed"),
        ("page", b"<html>hello</html>", b"<html>hello</html>", "possibly_billed"),
    ],
)
def test_what_is_no_picture_is_kept_a_day_for_the_operator_and_named_in_the_failure(
    gateway, far, prompt, answer, kept, state
):
    far.answers[prompt] = (202, answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    job = made(gateway, prompt)

    (name,) = [name for name in gateway.blobs("unusable") if name in job["error"]["message"]]
    assert (job["status"], job["billing"]["state"], far.calls[prompt]) == ("failed", state, 1)
    data = Path(gateway.environment["DARKROOM_DATA_DIR"], "blobs", "files", name).read_bytes()
    assert data == kept
    assert httpx.get(f"{gateway.url}/files/{name}").status_code == 404


# --- what only operators can mend ---


def provider(client, name):
    return next(p for p in client.get("/api/v1/providers").json()["data"]["providers"] if p["id"] == name)


def logged(gateway, job, event):
    """The lines of the worker's log about a job, of one kind."""
    lines = map(json.loads, (gateway.logs / "worker.log").read_text().splitlines())
    return [line for line in lines if line.get("job") == job["id"] and line["event"] == event]


def test_operators_hear_of_a_key_that_is_refused_once_and_until_it_is_good_again(gateway, far):
    far.answers |= {"no key": (401, b'{"error": {"message": "Incorrect API key"}}'), "no page": (404, b"<html></html>")}
    far.pictures["good again"] = JPEG
    with running_receiver() as receiver, gateway.client() as client, gateway.client("other") as other:
        endpoint = webhook_calls.made(other, receiver.url, events=["provider.trouble"])

        failed = made(gateway, "no key")
        made(gateway, "no key")
        trouble = provider(client, "openai")["trouble"]
        made(gateway, "no page")
        posts = receiver.until(2)
        made(gateway, "good again")
        after = provider(client, "openai")
        deliveries = webhook_calls.rows(other, endpointId=endpoint["id"])

    words = "the provider refused the gateway's credential"
    assert (trouble["kind"], trouble["message"], trouble["providerStatus"]) == ("credential", words, 401)
    told = {post.event["data"]["kind"]: post.event["data"] for post in posts}
    assert (len(posts), told.keys()) == (2, {"credential", "endpoint"})
    assert told["credential"] == {"provider": "openai", **trouble}
    assert "trouble" not in after
    assert [row["type"] for row in deliveries] == ["provider.trouble"] * 2
    (line,) = logged(gateway, failed, "provider call failed")
    assert (line["level"], line["trouble"], line["status"]) == ("error", "credential", 401)


def test_a_job_cannot_ask_for_news_of_the_gateway(gateway):
    with gateway.client() as client:
        hook = {"url": "https://example.com/hook", "events": ["provider.trouble"]}
        answer = client.post(JOBS, json={**GPT, "prompt": "a", "webhook": hook})

    assert answer.status_code == 400
    assert "provider.trouble" not in answer.json()["error"]["message"]


def test_the_log_says_why_a_provider_was_out_of_reach_and_which_option_was_ignored(gateway, far):
    far.pictures["optional"] = JPEG
    options = {"gemini": {"tools": []}, "openai": {"stream": True}}
    with gateway.client() as client:
        asked = {"provider": "gemini", "model": "gemini-3-pro-image", "prompt": "out of reach", "style": "vivid"}
        lost = client.post(JOBS, json=asked).json()["data"]
        wait_until(lambda: logged(gateway, lost, "provider call failed"), what="the call to fail")
        client.post(f"{JOBS}/{lost['id']}/cancel")

    ignored = made(gateway, "optional", options=options)

    assert logged(gateway, lost, "provider call failed")[0]["cause"] == "the connection was refused at 127.0.0.1:9"
    assert [line["field"] for line in logged(gateway, lost, "option ignored")] == ["style"]
    assert [line["field"] for line in logged(gateway, ignored, "option ignored")] == ["options.openai.stream"]
