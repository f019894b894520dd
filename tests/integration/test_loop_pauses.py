"""Whatever body, form or query a caller sends: all others wait for no more than a moment of the process's time.

The unit is the processor time of the whole process between two turns of its event loop. It counts what holds the loop
up, in its own thread or, by the interpreter's lock, in another, and the collector; wall time would count the other
processes of a busy machine as well, and the thread's own time would miss the lock.
"""

import asyncio
import base64
import contextlib
import gc
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.server.process import server
from jobs.logs import configure
from jobs.settings import Settings
from tests.nasty_bodies import BOUNDARY, FORMS, MAX_BYTES, NASTY, bodies, filled, inside
from tests.neighbours import free_port
from tests.neighbours.gateway import SECRET, token

MAX_PAUSE_MS = 50
BEARER = f"Authorization: Bearer {token('acme')}\r\n"
JSON = [
    "/api/v1/agents/images",
    "/api/v1/jobs",
    "/api/v1/batches",
    "/v1/images/generations",
    "/v1/images/edits",
    "/api/v1/webhooks/endpoints",
]


class Api:
    """The API's server in this process and, while somebody asks it, its loop: both rest in between."""

    def __init__(self, redis_url, folder):
        port = free_port()
        told = {"REDIS_URL": redis_url, "JWT_SECRET": SECRET, "DARKROOM_DATA_DIR": str(folder), "DARKROOM_DEV": "1"}
        keys = {
            "DARKROOM_SECRET_KEY": base64.b64encode(bytes(32)).decode(),
            "GOOGLE_API_KEY": "a-key",
            "OPENAI_API_KEY": "a-key",
            "DARKROOM_PORT": str(port),
        }
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._server = server(Settings.load({**told, **keys}, None))
        self._serving = self._loop.create_task(self._server.serve())
        self._loop.run_until_complete(self._started())

    def close(self):
        self._server.should_exit = True
        self._loop.run_until_complete(self._serving)
        self._loop.close()

    def pause(self, request):
        """What the request is answered, and the longest pause in milliseconds."""
        configure("json", "info")  # as it is served; every test begins without
        return self._loop.run_until_complete(self._asked(request))

    async def _started(self):
        while not self._server.started:  # noqa: ASYNC110  # uvicorn sets a flag, and no event
            await asyncio.sleep(0.01)

    async def _asked(self, request):
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        gc.freeze()  # the objects of the tests are none of the API's
        exchange = asyncio.create_task(_exchange(reader, writer, request))
        longest = 0.0
        while not exchange.done():
            before = time.process_time()
            await asyncio.sleep(0)
            longest = max(longest, time.process_time() - before)
        writer.close()
        return await exchange, longest * 1000


async def _exchange(reader, writer, request):
    with contextlib.suppress(ConnectionError):  # refused before it was through
        for at in range(0, len(request), 65_536):
            writer.write(request[at : at + 65_536])
            await writer.drain()
    return int((await reader.readuntil(b"\r\n")).split(b" ")[1])


@pytest.fixture(scope="module")
def api(redis_server, tmp_path_factory):
    running = Api(redis_server.url, tmp_path_factory.mktemp("data"))
    yield running
    running.close()


def post(path, body, media_type="application/json", more=""):
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nPrefer: respond-async\r\nContent-Type: {media_type}\r\n{BEARER}{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("path", JSON)
@pytest.mark.parametrize("body", NASTY, ids=range(len(NASTY)))
def test_a_nasty_body_makes_nobody_wait(api, path, body):
    assert len(body) <= MAX_BYTES

    status, pause = api.pause(post(path, body))

    assert status < 500
    assert pause < MAX_PAUSE_MS


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(JSON), body=bodies())
@example(path=JSON[1], body=b"")
def test_no_body_of_a_mebibyte_makes_others_wait(api, path, body):
    status, pause = api.pause(post(path, body))

    assert status < 500
    assert pause < MAX_PAUSE_MS


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_no_form_makes_others_wait(api, form):
    whole = form + f"--{BOUNDARY}--\r\n".encode()

    status, pause = api.pause(post("/v1/images/edits", whole, f"multipart/form-data; boundary={BOUNDARY}"))

    assert status < 500
    assert pause < MAX_PAUSE_MS


@pytest.mark.parametrize(
    "media_type",
    [
        "multipart/form-data" + ';a="' * 12_000,
        "multipart/form-data; boundary=" + "a" * 60_000,
        'multipart/form-data; boundary="' + "\\" * 60_000,
        "multipart/form-data;" + " " * 60_000,
        "multipart/form-data" + "; a =b" * 8_000,
        "application/json" + ";" * 60_000,
    ],
    ids=range(6),
)
def test_no_media_type_makes_others_wait(api, media_type):
    status, pause = api.pause(post("/v1/images/edits", b"a" * 100, media_type))

    assert status < 500
    assert pause < MAX_PAUSE_MS


@pytest.mark.parametrize(
    "piece", ["http://", "data:a", "a/", "%41", "aigw_sk_", "a" * 199 + "!", "//", ":@?"], ids=range(8)
)
@pytest.mark.parametrize("below", ["", "files/images/", "socket.io/", "api/v1/jobs/"])
def test_no_path_makes_others_wait(api, below, piece):
    path = f"/{below}{filled(piece, 8_000)}"

    status, pause = api.pause(f"GET {path} HTTP/1.1\r\nHost: x\r\n{BEARER}\r\n".encode())

    assert status < 500
    assert pause < MAX_PAUSE_MS


@pytest.mark.parametrize(
    "query",
    [
        "a&" * 4_000,
        "metadata[a]=" + "b" * 8_000,
        "&".join(f"metadata[{n}]=a" for n in range(500)),
        "%41" * 2_700,
        "=&;" * 2_500,
    ],
    ids=range(5),
)
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/batches", "/files/images/a.png", "/socket.io/"])
def test_no_query_makes_others_wait(api, path, query):
    status, pause = api.pause(f"GET {path}?{query} HTTP/1.1\r\nHost: x\r\n{BEARER}\r\n".encode())

    assert status < 500
    assert pause < MAX_PAUSE_MS


HEADERS = [
    *("Idempotency-Key", "Prefer", "X-Start-Timeout", "X-Request-Id", "X-Org-Id", "If-None-Match", "Range"),
    *("Accept", "Cookie", "Origin", "Accept-Encoding", "Connection", "X-Max-Queue-Position", "Last-Event-ID"),
]


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("piece", ["a", "1", ",", "a=b;", '"', " a", "a=1, ", "%41", "\\"], ids=range(9))
def test_no_header_makes_others_wait(api, name, piece):
    more = f"{name}: a{filled(piece, 60_000)}\r\n"

    status, pause = api.pause(post("/api/v1/jobs", inside(b"1"), more=more))

    assert status < 500
    assert pause < MAX_PAUSE_MS


@pytest.mark.parametrize("size", [1, 2, 60])
def test_no_way_to_cut_a_body_makes_others_wait(api, size):
    body = inside(b'"' + b"a" * 300_000 + b'"')
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (body[at : at + size] for at in range(0, len(body), size)))
    head = post("/api/v1/jobs", b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")

    status, pause = api.pause(head + chunks + b"0\r\n\r\n")

    assert status < 500
    assert pause < MAX_PAUSE_MS
