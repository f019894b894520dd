"""The image face as its pages use it, with the session of somebody who has signed in with NextAuth 4."""

import base64
import hashlib
import io
import re

import httpx
import pytest
from PIL import Image

from tests.acceptance.conftest import JOBS
from tests.neighbours.front_end import SECRET, header, running_front_end
from tests.neighbours.gateway import running_gateway
from tests.neighbours.picture_host import running_picture_host
from tests.neighbours.redis_server import running_redis

IMAGE, UPLOAD = "/api/image", "/api/upload"
FIRST, SECOND = "gemini-3-pro-image-preview", "gemini-2.5-flash-image"


def picture(colour="red", kind="PNG", size=(64, 48), **options):
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind, **options)
    return out.getvalue()


def b64(data):
    return base64.b64encode(data).decode()


def data_url(data, media_type="image/png"):
    return f"data:{media_type};base64,{b64(data)}"


def noise(side):
    """A picture that compresses to nothing less than itself."""
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), hashlib.shake_256(b"noise").digest(side * side * 3)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def front_end():
    with running_front_end("nextauth4") as running:
        yield running


@pytest.fixture(scope="module")
def host():
    with running_picture_host({"/blue.png": picture("blue"), "/words.png": b"words"}) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    settings = {"NEXTAUTH_SECRET": SECRET, "IMAGE_REF_ALLOWED_NETWORKS": "127.0.0.0/8", "DARKROOM_ABSORB_SECONDS": "0"}
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def page(gateway, front_end):
    with httpx.Client(base_url=gateway.url, timeout=150, trust_env=False) as client:
        client.headers["Cookie"] = header(front_end.sign_in("alice@example.com"))
        yield client


def make(page, prompt, *images, **more):
    return page.post(IMAGE, json={"images": list(images) or [data_url(picture())], "prompt": prompt}, **more)


def called(shared_simulator, prompt):
    return [call["model"] for call in shared_simulator.bench.calls(prompt)]


def test_pictures_come_in_every_form_and_the_answer_has_the_picture_its_address_and_the_words(
    page, host, shared_simulator
):
    form = {"file": ("My boat.JPG", picture("green", "JPEG"), "image/jpeg")}
    uploaded = page.post(UPLOAD, files=form).raise_for_status().json()
    sent = [uploaded["url"], data_url(picture()), b64(picture("white")), f"{host.url}/blue.png"]

    answer = make(page, "All four in one", *sent)

    body = answer.raise_for_status().json()
    before, data = body["imageBase64"].split(",")
    assert list(body) == ["imageBase64", "imageUrl", "text"]
    assert (before, body["text"]) == ("data:image/jpeg;base64", "Here is the picture.")
    assert base64.b64decode(data) == httpx.get(body["imageUrl"]).content
    assert int(answer.headers["content-length"]) == len(answer.content)
    (call,) = shared_simulator.bench.calls("All four in one")
    assert (call["model"], len(call["inputs"])) == (FIRST, 4)
    assert call["inputs"][0] == hashlib.sha256(httpx.get(uploaded["url"]).content).hexdigest()
    again = make(page, "That one again", body["imageUrl"])
    assert again.status_code == 200
    assert re.search(r"/images/u-[0-9a-f]{32}/uploads/\d{13}-[0-9a-f]{16}-My-boat\.jpg$", uploaded["url"])


def test_large_pictures_come_as_base64_without_a_head_too(page):
    large = noise(1_000)

    answer = make(page, "Three large ones", b64(large), data_url(large), b64(picture("red", "JPEG", (3_000, 3_000))))

    assert len(large) > 3_000_000
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"prompt": "A fox"}, "No images provided"),
        ({"images": [], "prompt": ""}, "No images provided"),
        ({"images": ["no base64"]}, "No prompt provided"),
        ({"images": [""], "prompt": "A fox"}, "images[0]: it is not JPEG or PNG or WEBP"),
        ({"images": ["no base64"], "prompt": "A fox"}, "images[0]: is not base64"),
        ({"images": ["http://[::1]/a.png"], "prompt": "A fox"}, None),
        ({"images": ["http://169.254.169.254/latest"], "prompt": "A fox"}, None),
        ({"images": ["https://10.0.0.1/a.png"], "prompt": "A fox"}, None),
        ({"images": ["https://93.184.216.34:8443/a.png"], "prompt": "A fox"}, None),
        ({"images": ["data:image/png;base64,AAAA"], "prompt": "A fox", "size": "big"}, "size: is no field here"),
    ],
)
def test_what_is_wrong_with_a_body_is_told_in_the_order_of_the_route(page, body, told):
    refused = page.post(IMAGE, json=body)

    assert refused.status_code == 400
    assert list(refused.json()) == ["error"]
    if told is not None:
        assert refused.json()["error"] == told
    else:
        assert refused.json()["error"].startswith("images[0].url: ")


def test_a_picture_that_cannot_be_fetched_is_told_and_never_left_out(page, host, shared_simulator):
    refused = make(page, "One of two", f"{host.url}/blue.png", f"{host.url}/words.png")

    assert (refused.status_code, list(refused.json())) == (400, ["error"])
    assert refused.json()["error"].startswith("images[1].url: no picture could be fetched from this address")
    assert called(shared_simulator, "One of two") == []


@pytest.mark.parametrize("path", [IMAGE, UPLOAD])
def test_who_has_not_signed_in_is_told_so_before_anything_else(gateway, path):
    for headers in ({}, {"Cookie": "next-auth.session-token=abc"}):
        refused = httpx.post(f"{gateway.url}{path}", content=b"{", headers=headers)

        assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})


def test_a_foreign_page_is_refused(page):
    refused = make(page, "From elsewhere", headers={"Origin": "https://evil.example"})

    assert (refused.status_code, list(refused.json())) == (403, ["error"])


@pytest.mark.parametrize("fault", ["[503x1]", "[429x1]", "[500x1]"])
def test_the_second_model_is_asked_when_the_first_is_known_not_to_have_charged(page, shared_simulator, fault):
    prompt = f"{fault} goes on {fault[1:4]}"

    answer = make(page, prompt)

    assert answer.status_code == 200, answer.text
    assert called(shared_simulator, prompt) == [FIRST, SECOND]
    assert [warning["code"] for warning in answer.json()["warnings"]] == ["fallback"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("[drop]", {"error": "Failed to generate image", "details": "…"}),
        ("[502]", {"error": "Failed to generate image", "details": "…"}),
        ("[refuse]", {"error": "No image was generated", "text": "…"}),
        ("[empty]", {"error": "No image was generated", "text": "Here is the picture."}),
    ],
)
def test_after_an_unknown_outcome_or_a_refusal_nobody_else_is_asked(page, shared_simulator, fault, told):
    failed = make(page, f"{fault} and no more")

    body = failed.json()
    assert (failed.status_code, list(body), body["error"]) == (500, list(told), told["error"])
    assert body.get("text", "…") == told.get("text", "…") or told["text"] == "…"
    assert called(shared_simulator, f"{fault} and no more") == [FIRST]
    assert page.get(f"{JOBS}/{failed.headers['x-job-id']}").json()["data"]["status"] == "failed"


def test_who_prefers_it_gets_a_job_which_the_session_may_follow(page):
    accepted = make(page, "Later", headers={"Prefer": "respond-async"})

    assert accepted.status_code == 202
    job = page.get(f"{accepted.headers['location']}?wait=60&until=terminal").json()["data"]
    assert (job["status"], job["face"], job["result"]["mode"]) == ("succeeded", "image", "edit")


def test_a_job_of_one_is_nobody_elses(gateway, front_end, page):
    job = make(page, "Mine").headers["x-job-id"]
    other = {"Cookie": header(front_end.sign_in("bob@example.com"))}

    assert httpx.get(f"{gateway.url}{JOBS}/{job}", headers=other).status_code == 404


def test_an_upload_is_a_picture_and_nobody_elses(gateway, front_end, page):
    mine = page.post(UPLOAD, files={"file": ("a.png", picture(), "image/png")}).json()["url"]
    other = {"Cookie": header(front_end.sign_in("bob@example.com"))}
    none = page.post(UPLOAD, files={"picture": ("a.png", picture())})
    empty = page.post(UPLOAD, files={"file": ("", b"")})
    words = page.post(UPLOAD, files={"file": ("a.html", b"<script>", "text/html")})
    stolen = httpx.post(f"{gateway.url}{IMAGE}", json={"images": [mine], "prompt": "A fox"}, headers=other)

    assert [r.json() for r in (none, empty)] == [{"error": "No file provided"}] * 2
    assert {none.status_code, empty.status_code, words.status_code, stolen.status_code} == {400}
    assert words.json()["error"].startswith("file: ")
    assert stolen.json()["error"] == "images[0].url: there is no picture of yours at this address"
