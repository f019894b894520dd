"""Face 1's edits as forms and as JSON, in every spelling that clients use, and what is refused in them."""

import io
import secrets

import pytest
from PIL import Image

from tests.acceptance.test_edits import b64, png
from tests.acceptance.test_openai_face import EDITS, GENERATIONS, SMALL, refused

PICTURE = png((256, 256))
FORM = "multipart/form-data; boundary=x"
PROMPT = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'


@pytest.fixture(scope="module")
def client(gateway):
    with gateway.client("forms") as client:
        yield client


def webp():
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (1, 2, 3)).save(out, "WEBP")
    return out.getvalue()


@pytest.mark.parametrize("names", ["image", "image[]", "image[] image[]", "image[0] image[1]", "images", "images[]"])
def test_a_form_may_call_its_pictures_by_any_name_that_clients_use(client, shared_simulator, names):
    files = [(name, ("upload", PICTURE, "application/octet-stream")) for name in names.split()]
    prompt = f"parts: {names}."

    answer = client.post(EDITS, data={**SMALL, "prompt": prompt}, files=files)

    assert answer.status_code == 200, answer.text
    assert len(shared_simulator.bench.calls(prompt)[0]["inputs"]) == len(names.split())


def test_a_webp_is_taken_and_sent_as_png(client, shared_simulator):
    answer = client.post(EDITS, data={**SMALL, "prompt": "a webp"}, files={"image": webp()})

    assert answer.status_code == 200, answer.text
    assert len(shared_simulator.bench.calls("a webp")) == 1


def test_text_parts_are_numbers_and_booleans(client):
    form = {**SMALL, "prompt": "typed", "n": "2", "stream": "false", "response_format": "url"}

    answer = client.post(EDITS, data=form, files={"image": PICTURE})

    assert len(answer.json()["data"]) == 2


@pytest.mark.parametrize(
    "pictures",
    [
        {"image": "data:image/png;base64,{}"},
        {"image": ["data:image/png;base64,{}"]},
        {"images": [{"image_url": "data:image/png;base64,{}"}]},
        {"images": ["data:application/octet-stream;base64,{}"], "mask": {"image_url": "data:image/png;base64,{mask}"}},
    ],
)
def test_an_edit_may_be_json(client, pictures):
    mask = b64(png((256, 256), hole=(10, 10, 90, 90)))

    def filled(value):
        if isinstance(value, dict):
            return {name: filled(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [filled(inner) for inner in value]
        return value.replace("{mask}", mask).replace("{}", b64(PICTURE))

    answer = client.post(EDITS, json={**SMALL, "prompt": "json edit", **filled(pictures)})

    assert answer.status_code == 200, answer.text


def test_a_large_data_url_is_taken_out_of_the_json_before_it_is_parsed(client):
    out = io.BytesIO()
    Image.frombytes("RGB", (1024, 1024), secrets.token_bytes(3 * 1024 * 1024)).save(out, "PNG", compress_level=0)
    body = {**SMALL, "prompt": "large", "image": f"data:image/png;base64,{b64(out.getvalue())}"}

    answer = client.post(EDITS, json=body)

    assert answer.status_code == 200, answer.text
    refused(client.post(GENERATIONS, json={**SMALL, "prompt": body["image"]}), 400, "invalid_value")


def test_a_picture_of_ours_may_be_named_by_its_address(client):
    url = client.post(GENERATIONS, json={**SMALL, "prompt": "first", "response_format": "url"}).json()["data"][0]["url"]

    answer = client.post(EDITS, json={**SMALL, "prompt": "second", "image": url})

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("form", "files", "refusal"),
    [
        ({}, {"image": PICTURE}, (400, "missing_required_parameter", "prompt")),
        ({"prompt": "x"}, {"image": PICTURE}, (400, "missing_required_parameter", "model")),
        ({**SMALL, "prompt": "x"}, {}, (415, "unsupported_media_type", None)),
        ({**SMALL, "prompt": "x"}, {"mask": PICTURE}, (400, "missing_required_parameter", "image")),
        ({**SMALL, "prompt": "x"}, {"image": b"GIF89a"}, (400, "invalid_image_file", "image")),
        ({**SMALL, "prompt": "x"}, {"image": PICTURE, "markup": PICTURE}, (400, "unknown_parameter", "markup")),
        ({**SMALL, "prompt": "x", "n": "many"}, {"image": PICTURE}, (400, "invalid_value", "n")),
        ({**SMALL, "prompt": "x", "n": "11"}, {"image": PICTURE}, (400, "invalid_value", "n")),
        ({**SMALL, "prompt": "x", "foo": "1"}, {"image": PICTURE}, (400, "unknown_parameter", "foo")),
        ({**SMALL, "prompt": "x", "partial_images": "2"}, {"image": PICTURE}, (400, "invalid_value", "partial_images")),
        ({**SMALL, "prompt": "x"}, {"image": PICTURE, "mask": PICTURE}, (400, "invalid_image_file", "mask")),
    ],
)
def test_what_is_wrong_with_a_form_is_named(client, shared_simulator, form, files, refusal):
    before = shared_simulator.bench.state()["total"]

    refused(client.post(EDITS, data=form, files=files), *refusal)

    assert shared_simulator.bench.state()["total"] == before


def test_a_file_or_a_form_beyond_its_bound_is_413(client):
    too_large = b"\x89PNG\r\n\x1a\n" + bytes(21 * 1024 * 1024)

    refused(
        client.post(EDITS, data={**SMALL, "prompt": "x"}, files={"image": too_large}), 413, "payload_too_large", "image"
    )
    many = [("image[]", (f"{i}.png", bytes(17 * 1024 * 1024))) for i in range(4)]
    refused(client.post(EDITS, data={**SMALL, "prompt": "x"}, files=many), 413, "payload_too_large")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"--x\r\nno header\r\n\r\n"),
        (FORM, PROMPT + b"never ends"),
        (FORM, PROMPT + b"\xff\r\n--x--\r\n"),
        (FORM, b""),
        ("multipart/form-data", b"--x--"),
    ],
)
def test_a_form_that_cannot_be_read_is_the_callers_fault(client, content_type, body):
    answer = client.post(EDITS, content=body, headers={"content-type": content_type})

    assert answer.status_code in {400, 415}, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_form_has_no_looser_texts_than_json(client, shared_simulator):
    before = shared_simulator.bench.state()["total"]

    with_nul = client.post(EDITS, data={**SMALL, "prompt": "a\x00b"}, files={"image": PICTURE})
    answer = client.post(EDITS, data={**SMALL, "prompt": "x", "n" * 3_000: "1"}, files={"image": PICTURE})

    refused(with_nul, 400, "invalid_value", "prompt")
    assert answer.status_code == 400
    assert len(answer.content) < 1_000
    assert shared_simulator.bench.state()["total"] == before
