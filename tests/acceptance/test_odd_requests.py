"""Requests of odd bytes to every route: refused or answered, and never our own fault."""

import itertools
import re

import httpx
import pytest

from tests.neighbours.gateway import token

ODD = [
    *(b"", b"\xff\xfe", b"\xed\xa0\x80", b"\xc2\xb2", b"a\t.", b",", b"=", b";", b"*", b"NaN", b"-1", b"1e400", b"%00"),
    *(b"9" * 5000, b"a" * 5000, b"null", b"true", b"[]", b"{}", b"http://[", b"Bearer", b"Bearer a.b.c", b"wait="),
    *(b'W/"' + b"9" * 500 + b'"', b"bytes=" + b"9" * 500 + b"-", b"application/json;charset=\xff", b"gzip"),
]
HEADERS = [
    *("authorization", "api-key", "x-api-key", "x-org-id", "x-request-id", "prefer", "accept", "content-type", "te"),
    *("content-encoding", "idempotency-key", "x-client-reference", "x-job-priority", "x-start-timeout", "cancel-after"),
    *("x-max-queue-position", "x-expires-after", "if-none-match", "range", "last-event-id", "cookie", "origin"),
]
PIECES = [
    *("%00", "%ED%A0%80", "%FF", "%2e%2e", "%2F", "%5C", "%25", "%0d%0a", "%7B", "%20", "*", "~"),
    *("a" * 300, "a" * 5000, *(f"{kind}_{'0' * 30}" for kind in ("job", "bat", "key", "whe", "dlv"))),
]
PARAMETERS = ["limit", "cursor", "wait", "index", "se", "sig", "status", "metadata[", "transport", "%FF"]
ALL = "admin:image-gen write:image-gen read:image-gen"


@pytest.fixture(scope="module")
def operations(gateway):
    """Every route that is described, and some that are not: method, path, an example of its body."""
    paths = httpx.get(f"{gateway.url}/openapi.json").json()["paths"]
    described = [
        (method.upper(), path, operation.get("requestBody", {}).get("content", {}).get("application/json", {}))
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]
    others = ["/files/images/{a}", "/files/previews/{a}/{b}", "/files/{a}", "/docs/{a}", "/{a}", "/socket.io/?EIO={a}"]
    return [*described, *((method, path, {}) for path in others for method in ("GET", "HEAD", "PUT"))]


@pytest.fixture(scope="module")
def client(gateway):
    with httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) as client:
        yield client


def answered(client, operation, piece, headers, query=""):
    """The status of the answer, which is not awaited longer than its head: some are streams."""
    method, path, body = operation
    sent = {b"authorization": f"Bearer {token('odd', scope=ALL)}".encode(), b"prefer": b"respond-async", **headers}
    told = re.sub(r"\{\w+\}", lambda _: piece, path) + query
    with client.stream(method, told, headers=sent, json=body.get("example")) as answer:
        return answer.status_code


def test_no_header_of_odd_bytes_brings_a_500(client, operations):
    values, pieces = itertools.cycle(ODD), itertools.cycle(PIECES)

    found = {
        (operation[0], operation[1], name, value): answered(client, operation, next(pieces), {name.encode(): value})
        for operation in operations
        for name, value in zip(HEADERS, values, strict=False)
    }

    assert {asked: status for asked, status in found.items() if status >= 500} == {}


def test_no_path_and_no_query_of_odd_bytes_brings_a_500(client, operations):
    names = itertools.cycle(PARAMETERS)

    found = {}
    for operation in operations:
        for piece in PIECES:
            query = f"{'&' if '?' in operation[1] else '?'}{next(names)}={piece}"
            found[operation[0], operation[1], query] = answered(client, operation, piece, {}, query)

    assert {asked: status for asked, status in found.items() if status >= 500} == {}
