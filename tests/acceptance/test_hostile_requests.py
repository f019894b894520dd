"""Requests that make a process keep or do more and more before anybody is known: each is cut, others are served."""

import json

import httpx
import pytest

from tests.acceptance.conftest import JOBS
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.raw_calls import (
    BEARER,
    FLOOD,
    MUG,
    answered,
    chunks,
    connected,
    exchanged,
    flooded,
    job_id,
    no_growth,
    post,
    status,
)


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, workers=0) as running:
        yield running


@pytest.mark.parametrize(
    ("first", "piece"),
    [(b"", b"".join(b"A%d: b\r\n" % i for i in range(6_000))), (b"A: ", b"a" * 65_536), (b"", b"a" * 65_536)],
    ids=["fields", "a value", "a name"],
)
def test_trailers_without_end_are_cut_and_not_kept(gateway, first, piece):
    with no_growth(gateway), connected(gateway) as link:
        link.sendall(post() + b"2\r\n{}\r\n0\r\n" + first)

        assert flooded(link, piece)


def test_a_credential_in_a_trailer_is_none(gateway):
    head = f"GET {JOBS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"

    assert status(exchanged(gateway, f"{head}{BEARER}\r\n".encode())) == 401
    assert status(exchanged(gateway, f"{head}{BEARER}X-Checksum: 1\r\n\r\n".encode())) == 401


def test_a_trailer_beside_a_credential_contradicts_nothing(gateway):
    head = f"GET {JOBS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{BEARER}Transfer-Encoding: chunked\r\n\r\n0\r\n"

    got = exchanged(gateway, f"{head}Authorization: Bearer another\r\nX-Org-ID: other\r\n\r\n".encode())

    assert status(got) == 200


def test_an_idempotency_key_in_a_trailer_is_none(gateway):
    request = post(BEARER.strip(), "Connection: close") + chunks(MUG, 50) + b"0\r\nIdempotency-Key: one\r\n\r\n"

    first, second = exchanged(gateway, request), exchanged(gateway, request)

    assert [status(first), status(second)] == [202, 202]
    assert job_id(first) != job_id(second)


def test_the_request_behind_a_trailer_is_answered_by_its_own_headers(gateway):
    first = f"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{BEARER}\r\n"
    second = f"GET {JOBS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    got = exchanged(gateway, (first + second).encode())

    assert got.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 401 " in got


def test_a_chunk_extension_without_end_is_cut(gateway):
    with no_growth(gateway), connected(gateway) as link:
        link.sendall(post() + b"2;a=")

        assert flooded(link, b"a" * 65_536)


def test_a_body_in_crumbs_is_refused_before_it_is_through(gateway):
    got = exchanged(gateway, post(BEARER.strip()) + chunks(b" " * 100_000, 1))

    assert status(got) == 413
    assert b'"code":"PAYLOAD_TOO_LARGE"' in got


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_body_may_come_in_pieces_as_serializers_write_them(gateway, size):
    got = exchanged(gateway, post(BEARER.strip(), "Connection: close") + chunks(MUG, size) + b"0\r\n\r\n")

    assert status(got) == 202


def test_a_large_body_may_come_in_pieces_of_a_line(gateway):
    body = json.dumps({"prompt": "a" * 200_000}).encode()

    got = exchanged(gateway, post(BEARER.strip(), "Connection: close") + chunks(body, 76) + b"0\r\n\r\n")

    assert status(got) == 400
    assert b'"field":"provider"' in got


@pytest.mark.parametrize("size", [100, 128])
def test_as_many_headers_as_proxies_add_are_taken(gateway, size):
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + b"A: b\r\n" * (size - 2)

    assert status(exchanged(gateway, head + b"\r\n")) == 200


def test_thousands_of_headers_are_refused(gateway):
    got = exchanged(gateway, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A:\r\n" * 13_000 + b"\r\n")

    assert status(got) == 431


def test_a_header_that_is_folded_is_refused(gateway):
    got = exchanged(gateway, b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n Authorization: c\r\n\r\n")

    assert status(got) == 400


@pytest.mark.parametrize("part", ["/", "?a="])
def test_a_request_line_beyond_8_kb_is_refused(gateway, part):
    head = f"GET /healthz{part}{'a' * 8_200} HTTP/1.1\r\nHost: x\r\n\r\n"

    assert status(exchanged(gateway, head.encode())) == 414


@pytest.mark.parametrize("garbage", ["no HTTP at all", "CONNECT x:443 HTTP/1.1", "PRI * HTTP/2.0\r\n\r\nSM"])
def test_garbage_alone_is_answered_in_our_words(gateway, garbage):
    got = exchanged(gateway, f"{garbage}\r\n\r\n".encode())

    assert status(got) == 400
    assert json.loads(got.partition(b"\r\n\r\n")[2])["error"]["code"] == "INVALID_INPUT"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_where_none_belongs_is_passed_over(gateway, method):
    head = f"{method} /files/images/a.png HTTP/1.1\r\nHost: x\r\nContent-Length: {FLOOD}\r\n\r\n"
    with no_growth(gateway), connected(gateway) as link:
        link.sendall(head.encode())
        flooded(link, b" " * 65_536)
        link.settimeout(2)

        assert status(answered(link)) == 404


def test_query_strings_of_strangers_are_not_kept(gateway):
    with no_growth(gateway), httpx.Client(base_url=gateway.url) as client:
        for i in range(200):
            names = "&".join(f"{i % 10}{n}" for n in range(i * 5, i * 5 + 1_200))
            assert client.get(f"/files/images/a.png?{names}").status_code == 404
