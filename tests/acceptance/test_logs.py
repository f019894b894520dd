"""The logs of a whole gateway: one id from the request to the provider, and nothing in them that is not theirs."""

import base64
import json
import socket

from tests.acceptance.conftest import AGENTS, JOBS, MUG
from tests.acceptance.test_edits import REFERENCE
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway, token
from tests.neighbours.webhook_receiver import running_receiver

REQUEST_ID = "canary-request-0001"
PROMPT = "a wish that is nobody's business"
SECRET = base64.b64encode(b"a canary of thirty-two bytes, ok").decode()
QUERY = "sig=a-canary-signature"


def test_one_id_joins_api_worker_and_provider_and_no_secret_prompt_or_picture_is_written(
    redis_url, simulator, tmp_path
):
    picture = base64.b64encode(REFERENCE).decode()
    told = {"DARKROOM_LOG_LEVEL": "debug", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "OPENAI_API_KEY": "sk-canary"}
    with (
        running_receiver(lambda *_: (500, {}, PROMPT.encode())) as receiver,
        running_gateway(redis_url, simulator, logs=tmp_path, **told) as gateway,
        gateway.client() as client,
    ):
        headers = {"X-Request-Id": REQUEST_ID, "Prefer": "wait=60"}
        body = {**MUG, "prompt": PROMPT, "referenceImage": {"b64": picture, "mimeType": "image/png"}}
        webhook = {"url": f"{receiver.url}?{QUERY}", "secret": f"whsec_{SECRET}"}
        body |= {"partialImages": 2, "safetyIdentifier": "a-canary-person"}
        answer = client.post(JOBS, json={**body, "webhook": webhook}, headers=headers)
        client.post(JOBS, json={**body, "provider": "openai", "prompt": f"[500] {PROMPT}"}, headers=headers)
        link = {"url": f"https://evil.example/a.png?{QUERY}", "mimeType": "image/png"}
        client.post(AGENTS, json={**MUG, "referenceImage": link}, headers=headers)
        client.post(AGENTS, content=f'{{"prompt": "{PROMPT}', headers={**headers, "Content-Type": "application/json"})
        client.get(f"{JOBS}?cursor={PROMPT}&{QUERY}")
        client.get(JOBS, headers={"Authorization": f"Bearer {token('acme')}x"})
        receiver.until(1)
        wait_until(lambda: "webhook posted" in (tmp_path / "worker.log").read_text(), what="the courier's line")

    assert answer.headers["x-request-id"] == REQUEST_ID
    logs = {name: (tmp_path / f"{name}.log").read_text() for name in ("api", "worker")}
    for text in logs.values():
        lines = [json.loads(line) for line in text.splitlines()]
        assert REQUEST_ID in {line.get("request_id") for line in lines}
    assert {call["client_request_id"] for call in simulator.bench.calls(PROMPT)} == {REQUEST_ID}
    for unwanted in (
        PROMPT,
        "wish that is",
        picture[:40],
        "iVBORw0KGgo",
        SECRET,
        "a-canary",
        "sk-canary",
        token("acme")[:40],
    ):
        assert unwanted not in logs["api"] + logs["worker"], unwanted


def test_who_goes_in_the_middle_of_a_body_is_no_fault_of_ours(redis_url, simulator, tmp_path):
    said = {"DARKROOM_LOG_LEVEL": "info"}
    with running_gateway(redis_url, simulator, workers=0, logs=tmp_path, **said) as gateway:
        port = int(gateway.url.rpartition(":")[2])
        for media_type in ("application/json", "multipart/form-data; boundary=x"):
            head = [
                "POST /v1/images/edits HTTP/1.1",
                *("Host: x", f"Authorization: Bearer {token('acme')}", f"Content-Type: {media_type}"),
                *("Content-Length: 1000", "", '{"prompt": "'),
            ]
            with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
                link.sendall("\r\n".join(head).encode())

        def lines():
            told = [json.loads(line) for line in (tmp_path / "api.log").read_text().splitlines()]
            return [line for line in told if line.get("path") == "/v1/images/edits"]

        wait_until(lambda: len(lines()) >= 2, what="the lines of both requests")

        assert {line["level"] for line in lines()} == {"info"}
