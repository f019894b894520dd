"""Our own description, held to what the gateway does: every operation asked rightly, wrongly and at random."""

import base64
import contextlib
from collections import Counter

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.acceptance.conftest import JOBS, MUG
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

EXAMPLES = 30
"""Requests that are made up for an operation, half of them by its schema and half against it."""


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    """With a server to try out."""
    with (
        running_redis() as redis,
        running_gateway(redis.url, shared_simulator, COMFYUI_BASE_URL=shared_simulator.url) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def key(gateway):
    """An API key that may do everything."""
    with gateway.client("describers", scope="write:image-gen read:image-gen admin:image-gen") as client:
        capabilities = ["images", "usage:read", "admin"]
        made = client.post("/api/v1/keys", json={"name": "full", "scopes": {"capabilities": capabilities}})
        assert made.status_code == 201, made.text
        return made.json()["data"]["key"]


@pytest.fixture(scope="module")
def client(gateway, key):
    with httpx.Client(base_url=gateway.url, headers={"api-key": key}, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def ids(client):
    """What the path parameters may name."""
    endpoint = client.post("/api/v1/webhooks", json={"url": "https://localhost:8443/hook"}).json()["data"]["id"]
    job = client.post(JOBS, json=MUG, headers={"Prefer": "wait=60"}).json()["data"]["id"]
    delivery = client.get(f"{JOBS}/{job}").json()["data"]["delivery"][0]["id"]
    batch = client.post("/api/v1/batches", json={"items": [MUG]}).json()["data"]["id"]
    key = client.post("/api/v1/keys", json={"name": "other"}).json()["data"]["id"]
    hooks = {"endpoint_id": endpoint, "delivery_id": delivery}
    models = {"deployment": "gpt-image-2", "model": "gpt-image-2"}
    file = client.post("/api/v1/images/generations", json={"prompt": "A mug"}).json()[0]["id"]
    return {"job_id": job, "file_id": file, "batch_id": batch, "key_id": key, "org": "describers", **hooks, **models}


@pytest.fixture(scope="module")
def operations(gateway):
    schema = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")
    schema.config.generation.update(with_security_parameters=False)  # the key is ours to send
    return [found.ok() for found in schema.get_all_operations()]


def asked(case, gateway, key):
    """The answer, which is documented and not our fault."""
    headers = {"api-key": key, "Prefer": "wait=10"}
    answer = case.call(base_url=gateway.url, headers=headers, allow_redirects=False, timeout=60)
    documented = case.operation.definition.raw["responses"]
    assert answer.status_code < 500, f"{case.operation.label}: {answer.status_code} {answer.text}"
    assert str(answer.status_code) in documented, f"{case.operation.label}: {answer.status_code} {answer.text}"
    case.validate_response(answer, checks=[schemathesis.checks.CHECKS.get_one(name) for name in CHECKS])
    return answer.status_code


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CHECKS = ("content_type_conformance", "response_schema_conformance")


@pytest.mark.timeout(900)  # hundreds of requests, on whatever machine
def test_every_operation_works_as_described_and_no_request_brings_a_500(gateway, key, ids, operations, capsys):
    told = {operation.label: Counter() for operation in operations}
    for operation in sorted(operations, key=lambda o: o.method == "delete"):
        known = {name: ids[name] for name in ids if f"{{{name}}}" in operation.path}
        content = operation.definition.raw.get("requestBody", {}).get("content", {})
        sent = {}
        if body := content.get("application/json"):
            sent = {"body": body["example"], "media_type": "application/json"}
        elif content:
            sent = {"body": {"file": PIXEL}, "media_type": "multipart/form-data"}
        right = operation.Case(path_parameters=known, **sent)
        told[operation.label][asked(right, gateway, key)] += 1
        for mode in GenerationMode:
            told[operation.label].update(made_up(operation, mode, known, gateway, key))

    with capsys.disabled():
        print()  # noqa: T201  # the table is meant to be read
        for label, counts in told.items():
            line = "  ".join(f"{status} x{count}" for status, count in sorted(counts.items()))
            print(f"  {label:<45} {line}")  # noqa: T201  # the table of what was asked
    assert [label for label, counts in told.items() if not any(200 <= status < 400 for status in counts)] == []


def made_up(operation, mode, known, gateway, key):
    counts = Counter()

    @settings(
        max_examples=EXAMPLES // 2,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    def ask(case, real):
        if real and known:
            case.path_parameters = dict(known)
        counts[asked(case, gateway, key)] += 1

    with contextlib.suppress(Unsatisfiable):  # there is no wrong way to ask for what takes nothing
        ask()
    return counts
