"""Bodies as clients, browsers and serializers really send them: what says nothing is taken for nothing."""

import pytest

from tests.acceptance.conftest import AGENTS, JOBS
from tests.acceptance.test_edits import png
from tests.acceptance.test_openai_face import EDITS, GENERATIONS, SMALL

BATCHES, KEYS, WEBHOOKS = "/api/v1/batches", "/api/v1/keys", "/api/v1/webhooks"
FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A fox"}
PICTURE = png((256, 256))
HOOK = {"url": "https://hooks.example.com/a"}


@pytest.fixture(scope="module")
def client(gateway):
    with gateway.client("bodies", scope="write:image-gen read:image-gen admin:image-gen") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (AGENTS, {**FOX, "size": None, "quality": None, "referenceImage": None, "mask": None}),
        (f"{JOBS}?dryRun=true", {**FOX, "n": None, "metadata": None, "options": None, "webhook": None, "steps": None}),
        (f"{JOBS}?dryRun=true", {**FOX, "webhook": {**HOOK, "include": None, "events": None, "secret": None}}),
        (BATCHES, {"defaults": None, "items": [{**FOX, "n": None}], "atomic": None, "metadata": None}),
        (BATCHES, {"defaults": {**FOX, "options": None, "size": "1:1"}, "items": [{"prompt": None, "size": None}]}),
        (KEYS, {"name": "n", "scopes": None, "rateLimits": {"requestsPerMinute": None}, "metadata": None}),
        (KEYS, {"name": "n", "scopes": {"capabilities": None, "providerIds": None}}),
        (WEBHOOKS, {**HOOK, "events": None, "include": None, "metadata": None}),
        (GENERATIONS, {**SMALL, "prompt": "nulls", "n": None, "stream": None, "no_such_field": None}),
    ],
)
def test_null_is_as_good_as_left_out(client, path, body):
    answer = client.post(path, json=body)

    assert answer.status_code in {200, 201, 202}, answer.text
    assert '"status":"rejected"' not in answer.text


@pytest.mark.parametrize("field", ["provider", "model", "prompt"])
def test_null_is_no_value_for_what_is_required(client, field):
    answer = client.post(JOBS, json={**FOX, field: None})

    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, field)


def test_null_still_takes_a_limit_away(client):
    client.patch("/api/v1/orgs/bodies", json={"maxQueued": 900})

    limits = client.patch("/api/v1/orgs/bodies", json={"maxQueued": None}).json()["data"]["limits"]

    assert limits["maxQueued"] is None


def part(name, content, *, filename=None, kind=None):
    named = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    lines = [f"Content-Disposition: {named}", *([f"Content-Type: {kind}"] if kind else [])]
    return b"--x\r\n" + "\r\n".join([*lines, "", ""]).encode() + content + b"\r\n"


def posted(client, *parts, prompt=b"a form"):
    told = [part("model", b"gpt-image-2"), part("size", b"256x256"), part("response_format", b"url")]
    prompts = [part("prompt", prompt)] if prompt else []
    body = b"".join([*told, *prompts, *parts]) + b"--x--\r\n"
    return client.post(EDITS, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})


def test_a_form_is_one_in_capitals_too(client):
    body = part("model", b"gpt-image-2") + part("size", b"256x256") + part("prompt", b"capitals") + ONE + b"--x--"

    answer = client.post(EDITS, content=body, headers={"Content-Type": "Multipart/Form-Data; Boundary=x"})

    assert answer.status_code == 200, answer.text


BROWSERS_EMPTY = {"filename": "", "kind": "application/octet-stream"}
ONE = part("image", PICTURE, filename="a.png", kind="image/png")


@pytest.mark.parametrize(
    "parts",
    [
        [ONE, part("mask", b"", **BROWSERS_EMPTY)],
        [ONE, part("mask", b"")],
        [ONE, part("image", b"", **BROWSERS_EMPTY)],
        [part("image[]", b""), ONE],
        [part("image", PICTURE, kind="image/png")],
        [part("image", PICTURE, kind="Image/PNG"), part("mask", b"", **BROWSERS_EMPTY)],
        [part("image", PICTURE, kind="application/octet-stream")],
    ],
    ids=range(7),
)
def test_a_part_without_content_is_not_given_and_a_picture_needs_no_file_name(client, shared_simulator, parts):
    prompt = f"a form of {len(parts)} parts {len(shared_simulator.bench.calls('a form'))}"

    answer = posted(client, *parts, prompt=prompt.encode())

    assert answer.status_code == 200, answer.text
    (call,) = [call for call in shared_simulator.bench.calls(prompt) if call["prompt"] == prompt]
    assert (len(call["inputs"]), call["mask"]) == (1, None)


@pytest.mark.parametrize("kind", ["text/plain; charset=ISO-8859-1", 'text/plain; charset="iso-8859-1"'])
def test_a_text_is_read_as_its_sender_encoded_it(client, shared_simulator, kind):
    prompt = f"Größe {kind}"

    answer = posted(client, ONE, part("prompt", prompt.encode("latin-1"), kind=kind), prompt=None)

    assert answer.status_code == 200, answer.text
    assert [call["prompt"] for call in shared_simulator.bench.calls(prompt)] == [prompt]


@pytest.mark.parametrize("kind", [None, "text/plain; charset=utf-7", "text/plain; charset=rot13", "text/plain"])
def test_a_text_in_another_encoding_is_utf_8_or_refused(client, kind):
    answer = posted(client, ONE, part("prompt", b"Gr\xf6\xdfe", kind=kind), prompt=None)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")


@pytest.mark.parametrize(
    ("path", "body", "field", "meant"),
    [
        (JOBS, {**FOX, "negative_prompt": "x"}, "negative_prompt", "negativePrompt"),
        (JOBS, {**FOX, "qualty": "high"}, "qualty", "quality"),
        (JOBS, {**FOX, "webhook": {"urls": "x"}}, "webhook.urls", "url"),
        (JOBS, {**FOX, "referenceImages": [{"mimetype": "x"}]}, "referenceImages[0].mimetype", "mimeType"),
        (BATCHES, {"items": [{**FOX, "seeds": 1}]}, "items[0].seeds", "seed"),
        (BATCHES, {"items": [FOX], "defaults": {"modell": "x"}}, "defaults.modell", "model"),
        (AGENTS, {**FOX, "Size": "1:1"}, "Size", "size"),
        (
            KEYS,
            {"name": "n", "rateLimits": {"requestPerMinute": 1}},
            "rateLimits.requestPerMinute",
            "requestsPerMinute",
        ),
    ],
)
def test_a_misspelt_field_is_answered_with_the_right_one(client, path, body, field, meant):
    error = client.post(path, json=body).json()["error"]

    assert error["details"]["field"] == field
    assert f"did you mean `{meant}`?" in error["message"]


def test_a_misspelling_is_told_in_every_dialect_and_a_wild_one_without_a_guess(client):
    dialect = client.post(GENERATIONS, json={**SMALL, "prompt": "x", "responseFormat": "url"}).json()["error"]
    query = client.get(f"{JOBS}?created_after=x").json()["error"]
    wild = client.post(JOBS, json={**FOX, "zzzzzz": 1}).json()["error"]

    assert (dialect["param"], "`response_format`" in dialect["message"]) == ("responseFormat", True)
    assert (query["details"]["field"], "`createdAfter`" in query["message"]) == ("created_after", True)
    assert wild["message"] == "zzzzzz: is no field here"


@pytest.mark.parametrize(
    ("path", "pointer"),
    [("/nowhere", "/docs"), ("/v1/image", "/docs"), ("/docs/nothing", "/docs"), ("/v1/models/no-such", "/v1/models")],
)
def test_what_is_not_there_is_answered_with_where_to_look(client, path, pointer):
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.json()["error"]["message"].rstrip("`").endswith(pointer)


def test_an_unknown_model_is_answered_with_where_models_are(client):
    error = client.post(GENERATIONS, json={"model": "gpt-imagine-9", "prompt": "x"}).json()["error"]

    assert (error["code"], "/v1/models" in error["message"]) == ("model_not_found", True)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (JOBS, {**FOX, "webhook": {"url": "https://bücher.example/hook"}}, "webhook.url"),
        (WEBHOOKS, {"url": "https://bücher.example/hook"}, "url"),
        (
            AGENTS,
            {**FOX, "referenceImage": {"url": "https://bücher.example/a.png", "mimeType": "image/png"}},
            "referenceImage.url",
        ),
    ],
)
def test_a_host_in_letters_of_its_own_is_answered_with_its_name_in_ascii(client, path, body, field):
    answer = client.post(path, json=body)

    error = answer.json()["error"]
    assert (answer.status_code, error["details"]["field"]) == (400, field)
    assert error["message"].endswith("; use xn--bcher-kva.example")
