"""Eighty and more bodies, each one mutation away from one that succeeds: status, code and field of each refusal."""

import base64
import io
import json
import socket
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.acceptance.conftest import AGENTS, JOBS
from tests.neighbours.gateway import token

PNG, JPEG = "image/png", "image/jpeg"


def picture(form="PNG", size=(64, 48), mode="RGB", colour=(9, 99, 199)):
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, form)
    return out.getvalue()


def b64(data):
    return base64.b64encode(data).decode()


REFERENCE = picture()
MASK = picture(mode="RGBA", colour=(0, 0, 0, 0))
EDIT = {
    "provider": "azure-openai",
    "model": "gpt-image-2",
    "prompt": "Make it blue",
    "size": "1024x1024",
    "quality": "low",
    "referenceImage": {"b64": b64(REFERENCE), "mimeType": PNG},
    "mask": {"b64": b64(MASK)},
}
JOB = {**EDIT, "n": 1, "metadata": {"project": "atlas"}, "cancelAfter": 60}
GOOD = json.dumps(EDIT).encode()


def put(path, value, base=EDIT):
    """The body with one field set, deep inside where the path has dots."""
    body = json.loads(json.dumps(base))
    *above, last = path.split(".")
    place = body
    for name in above:
        place = place[name]
    place[last] = value
    return json.dumps(body).encode()


def drop(path, base=EDIT):
    body = json.loads(json.dumps(base))
    *above, last = path.split(".")
    place = body
    for name in above:
        place = place[name]
    del place[last]
    return json.dumps(body).encode()


def reference(data, media_type=PNG):
    return put("referenceImage", {"b64": b64(data), "mimeType": media_type})


def raw(old, new):
    assert old in GOOD
    return GOOD.replace(old, new, 1)


BAD = "INVALID_INPUT"
UNFIT = "VALIDATION_ERROR"
URL = "https://stranger.example/a.png"
ON_AGENTS = [
    # the text itself
    (GOOD[:-1], 400, BAD, None),
    (GOOD + b"}", 400, BAD, None),
    (GOOD + GOOD, 400, BAD, None),
    (b"[" + GOOD + b"]", 400, BAD, None),
    (b"\xef\xbb\xbf" + GOOD, 400, BAD, None),
    (GOOD.decode().encode("utf-16"), 400, BAD, None),
    (raw(b"blue", b"bl\xffue"), 400, BAD, None),
    (raw(b"blue", b"bl\xc0\xafue"), 400, BAD, None),
    (raw(b"blue", b"bl\nue"), 400, BAD, None),
    (raw(b'"low"', b"'low'"), 400, BAD, None),
    (raw(b'"low"', b"NaN"), 400, BAD, None),
    (raw(b'"low"', b"Infinity"), 400, BAD, None),
    (raw(b'"low"', b"-Infinity"), 400, BAD, None),
    (raw(b'"low"', b"9" * 30), 400, BAD, None),
    (raw(b'"low"', b"1" * 5_000), 400, BAD, None),
    (raw(b'"low"', b"1e999"), 400, BAD, "quality"),
    (raw(b'"low"', b"[" * 100 + b"]" * 100), 400, BAD, None),
    (raw(b'"low"', b"[" * 100_000 + b"]" * 100_000), 400, BAD, None),
    (raw(b'"low"', b"low"), 400, BAD, None),
    (raw(b'"low"', b'"low",'), 400, BAD, None),
    (raw(b'"low"', b'"low", "prompt": "twice"'), 400, BAD, "prompt"),
    (raw(b'"low"', b'"low", "quality": "low"'), 400, BAD, "quality"),
    (raw(b'"image/png"', b'"image/png", "mimeType": "image/png"'), 400, BAD, "mimeType"),
    (raw(b"blue", b"bl\\u0000ue"), 400, BAD, "prompt"),
    (raw(b"blue", b"bl\\ud83due"), 400, BAD, "prompt"),
    (raw(b"blue", b"bl\\udc00ue"), 400, BAD, "prompt"),
    (raw(b"blue", b"bl\\xue"), 400, BAD, None),
    # fields of the request
    (drop("provider"), 400, BAD, "provider"),
    (drop("model"), 400, BAD, "model"),
    (drop("prompt"), 400, BAD, "prompt"),
    (put("provider", "azure"), 400, BAD, "provider"),
    (put("provider", "openai"), 400, BAD, "provider"),
    (put("provider", ["azure-openai"]), 400, BAD, "provider"),
    (put("model", None), 400, BAD, "model"),
    (put("model", "gpt-image-2/../x"), 400, BAD, "model"),
    (put("model", "gpt-image-2?x=1"), 400, BAD, "model"),
    (put("model", "gpt-image-2\r\nX: y"), 400, BAD, "model"),
    (put("prompt", ""), 400, BAD, "prompt"),
    (put("prompt", " \t\n"), 400, BAD, "prompt"),
    (put("prompt", "😀" * 4_001), 400, BAD, "prompt"),
    (put("prompt", 5), 400, BAD, "prompt"),
    (put("prompt", {"text": "a"}), 400, BAD, "prompt"),
    (put("prompt", value=True), 400, BAD, "prompt"),
    (put("size", "1024X1024"), 400, BAD, "size"),
    (put("size", "0x0"), 400, BAD, "size"),
    (put("size", "1024x1024 "), 400, BAD, "size"),
    (put("size", "-1024x1024"), 400, BAD, "size"),
    (put("size", "\u0661\u0660x\u0661"), 400, BAD, "size"),
    (put("quality", "ultra"), 400, BAD, "quality"),
    (put("quality", 1.5), 400, BAD, "quality"),
    (put("style", 1), 400, BAD, "style"),
    (put("negativePrompt", "x" * 4_001), 400, BAD, "negativePrompt"),
    (put("promptt", "x"), 400, BAD, "promptt"),
    (put("n", 1), 400, BAD, "n"),
    (put("negative_prompt", "x"), 400, BAD, "negative_prompt"),
    (put("__proto__", {}), 400, BAD, "__proto__"),
    # the reference image
    (put("referenceImage", "text"), 400, UNFIT, "referenceImage"),
    (put("referenceImage", []), 400, UNFIT, "referenceImage"),
    (put("referenceImage", {}), 400, UNFIT, "referenceImage.mimeType"),
    (drop("referenceImage.mimeType"), 400, UNFIT, "referenceImage.mimeType"),
    (drop("referenceImage.b64"), 400, UNFIT, "referenceImage"),
    (put("referenceImage.url", URL), 400, UNFIT, "referenceImage"),
    (put("referenceImage.mimeType", "image/gif"), 400, UNFIT, "referenceImage.mimeType"),
    (put("referenceImage.mimeType", "IMAGE/PNG"), 400, UNFIT, "referenceImage.mimeType"),
    (put("referenceImage.mimeType", JPEG), 400, UNFIT, "referenceImage"),
    (put("referenceImage.mimetype", PNG), 400, UNFIT, "referenceImage.mimetype"),
    (put("referenceImage.b64", 7), 400, UNFIT, "referenceImage.b64"),
    (put("referenceImage.b64", ""), 400, UNFIT, "referenceImage"),
    (put("referenceImage.b64", b64(REFERENCE)[:-1]), 400, UNFIT, "referenceImage.b64"),
    (put("referenceImage.b64", b64(REFERENCE) + "\n"), 400, UNFIT, "referenceImage.b64"),
    (put("referenceImage.b64", "*" + b64(REFERENCE)[1:]), 400, UNFIT, "referenceImage.b64"),
    (put("referenceImage.b64", "ä" + b64(REFERENCE)[1:]), 400, UNFIT, "referenceImage.b64"),
    (put("referenceImage.b64", f"data:image/png;base64,{b64(REFERENCE)}"), 400, UNFIT, "referenceImage.b64"),
    (put("referenceImage.b64", "A" * (21 * 1024 * 1024 * 4 // 3)), 413, "PAYLOAD_TOO_LARGE", "referenceImage.b64"),
    (reference(b"GIF89a" + bytes(64)), 400, UNFIT, "referenceImage"),
    (reference(picture("GIF", mode="L", colour=7)), 400, UNFIT, "referenceImage"),
    (reference(picture("WEBP")), 400, UNFIT, "referenceImage"),
    (reference(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), 400, UNFIT, "referenceImage"),
    (reference(REFERENCE[:-8]), 400, UNFIT, "referenceImage"),
    (reference(REFERENCE[:40]), 400, UNFIT, "referenceImage"),
    (reference(REFERENCE.replace(b"IDAT", b"IDAX", 1)), 400, UNFIT, "referenceImage"),
    (reference(picture("JPEG"), PNG), 400, UNFIT, "referenceImage"),
    (reference(picture("JPEG")[:-20], JPEG), 400, UNFIT, "referenceImage"),
    (put("referenceImage", {"url": "", "mimeType": PNG}), 400, UNFIT, "referenceImage.url"),
    (put("referenceImage", {"url": URL, "mimeType": PNG}), 400, UNFIT, "referenceImage.url"),
    (put("referenceImage", {"url": "file:///etc/passwd", "mimeType": PNG}), 400, UNFIT, "referenceImage.url"),
    (put("referenceImage", {"url": "http://169.254.169.254/x", "mimeType": PNG}), 400, UNFIT, "referenceImage.url"),
    (
        put("referenceImage", {"url": "https://e.example/" + "a" * 2_048, "mimeType": PNG}),
        400,
        UNFIT,
        "referenceImage.url",
    ),
    (put("referenceImage", {"url": 5, "mimeType": PNG}), 400, UNFIT, "referenceImage.url"),
    # the mask
    (drop("referenceImage"), 400, UNFIT, "mask"),
    (put("mask", {}), 400, UNFIT, "mask"),
    (put("mask", "text"), 400, UNFIT, "mask"),
    (put("mask.url", URL), 400, UNFIT, "mask"),
    (put("mask.mimeType", PNG), 400, UNFIT, "mask.mimeType"),
    (put("mask.b64", b64(picture("JPEG"))), 400, UNFIT, "mask"),
    (put("mask.b64", b64(picture())), 400, UNFIT, "mask"),
    (put("mask.b64", b64(picture(mode="RGBA", colour=(0, 0, 0, 255)))), 400, UNFIT, "mask"),
    (put("mask.b64", b64(picture(mode="RGBA", colour=(0, 0, 0, 1)))), 400, UNFIT, "mask"),
    (put("mask.b64", b64(picture(mode="RGBA", size=(48, 64), colour=(0, 0, 0, 0)))), 400, UNFIT, "mask"),
    (put("mask.b64", b64(MASK[:-4])), 400, UNFIT, "mask"),
    (put("provider", "gemini"), 400, UNFIT, "mask"),
]
ON_JOBS = [
    (put("n", 0, JOB), 400, BAD, "n"),
    (put("n", 11, JOB), 400, BAD, "n"),
    (put("n", "1", JOB), 400, BAD, "n"),
    (put("n", 1.5, JOB), 400, BAD, "n"),
    (put("cancelAfter", 4, JOB), 400, BAD, "cancelAfter"),
    (put("cancelAfter", "60s", JOB), 400, BAD, "cancelAfter"),
    (put("cancelAftr", 60, JOB), 400, BAD, "cancelAftr"),
    (put("priority", "urgent", JOB), 400, BAD, "priority"),
    (put("onAmbiguous", "maybe", JOB), 400, BAD, "onAmbiguous"),
    (put("metadata", {"a": 1}, JOB), 400, BAD, None),
    (put("metadata", {str(i): "x" for i in range(17)}, JOB), 400, BAD, "metadata"),
    (put("metadata.project", "x" * 513, JOB), 400, BAD, "metadata.project"),
    (put("clientReference", "x" * 129, JOB), 400, BAD, "clientReference"),
    (put("outputFormat", "gif", JOB), 400, BAD, "outputFormat"),
    (put("outputCompression", 101, JOB), 400, BAD, "outputCompression"),
    (put("background", "green", JOB), 400, BAD, "background"),
    (put("steps", 151, JOB), 400, BAD, "steps"),
    (put("options", {"azure-openai": 5}, JOB), 400, BAD, None),
    (put("options", {"azure-openai": {"a": "x" * 17_000}}, JOB), 400, BAD, "options"),
    (put("metadata", {"\ud83d": "x"}, JOB), 400, BAD, "metadata.?"),
    (put("options", {"azure-openai": {"\x00": 1}}, JOB), 400, BAD, "options.azure-openai.?"),
    (put("referenceImages", [JOB["referenceImage"]], JOB), 400, UNFIT, "referenceImages"),
    (put("referenceImages", [], json.loads(drop("referenceImage", JOB))), 400, UNFIT, None),
    (
        put(
            "referenceImages",
            [JOB["referenceImage"], {"b64": "AAAA", "mimeType": PNG}],
            json.loads(drop("referenceImage", JOB)),
        ),
        400,
        UNFIT,
        "referenceImages[1]",
    ),
    (
        put("referenceImages", [JOB["referenceImage"]] * 17, json.loads(drop("referenceImage", JOB))),
        400,
        UNFIT,
        "referenceImages",
    ),
]
CASES = [(AGENTS, *case) for case in ON_AGENTS] + [(JOBS, *case) for case in ON_JOBS]


def send(client, path, body):
    return client.post(path, content=body, headers={"Content-Type": "application/json"})


def test_the_bodies_that_are_mutated_succeed_themselves(gateway):
    with gateway.client() as client:
        assert send(client, AGENTS, GOOD).status_code == 200
        assert send(client, JOBS, json.dumps(JOB).encode()).status_code == 202


def test_there_are_enough_of_them():
    assert len(CASES) >= 80
    assert len({body for _, body, *_ in CASES}) == len(CASES)


@pytest.mark.parametrize(("path", "body", "status", "code", "field"), CASES, ids=range(len(CASES)))
def test_a_body_one_mutation_away_is_refused_by_name(gateway, path, body, status, code, field):
    with gateway.client("mutants") as client:
        answer = send(client, path, body)

        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code), error
        if field is not None:
            assert error["details"]["field"] == field
            assert error["message"].startswith(f"{field}: ")
        assert client.get(JOBS).json()["data"]["jobs"] == []


def test_nothing_is_staged_by_what_was_refused_and_the_server_keeps_its_memory(gateway):
    status = f"/proc/{gateway.api.pid}/status"
    with gateway.client("mutants") as client:
        for _ in range(2):
            send(client, AGENTS, CASES[73][1])
        before = _resident(status)
        for path, body, *_ in CASES * 3:
            send(client, path, body)

    assert gateway.blobs("inputs/mutants") == []
    assert _resident(status) - before < 64_000


def test_a_body_beyond_the_limit_is_refused_before_it_is_sent(gateway):
    head = (
        f"POST {AGENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token('acme')}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {65 * 2**20}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), timeout=5) as link:
        link.sendall(head.encode())
        answer = link.recv(65536)
        while b"}}" not in answer:
            answer += link.recv(65536)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"PAYLOAD_TOO_LARGE"' in answer


def test_a_chunked_body_beyond_the_limit_is_cut(gateway):
    def endless():
        for _ in range(80):
            yield b" " * 2**20

    with gateway.client() as client:
        try:
            answer = client.post(AGENTS, content=endless(), headers={"Content-Type": "application/json"})
        except httpx.TransportError:
            return  # cut while it was still being sent
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


def _resident(status):
    lines = Path(status).read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
