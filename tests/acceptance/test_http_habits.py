"""What HTTP's own rules let every client, cache and browser expect of all faces alike (RFC 9110, RFC 7240, Fetch)."""

import json

import httpx
import pytest

from tests.acceptance.conftest import AGENTS, JOBS, MUG
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

ORIGIN = "https://studio.example.com"
FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A fox"}
SSE = "text/event-stream"


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    settings = {"DARKROOM_CORS_ORIGINS": ORIGIN, "DARKROOM_WAIT_SECONDS": "20"}
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway):
    with gateway.client("habits", scope="write:image-gen read:image-gen admin:image-gen") as client:
        yield client


@pytest.fixture(scope="module")
def job(client):
    """A job that has ended, as its caller has read it."""
    made = client.post(JOBS, json=FOX, headers={"Prefer": "wait=20"}).json()["data"]
    assert made["status"] == "succeeded"
    return made


@pytest.mark.parametrize(
    "path",
    [
        *("/healthz", "/readyz", "/docs", "/openapi.json", "/.well-known/jwks.json", "/v1/models", "/v1/models/x"),
        *(JOBS, f"{JOBS}/{{id}}", f"{JOBS}/{{id}}/result", f"{JOBS}/{{id}}/content", f"{JOBS}/job_nobody", "/nowhere"),
        *("/api/v1/batches", "/api/v1/keys", "/api/v1/limits", "/api/v1/providers", "/api/v1/webhooks"),
    ],
)
def test_head_is_answered_as_get_without_the_body(client, job, path):
    path = path.format(id=job["id"])

    head, get = client.head(path), client.get(path)

    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.headers.get("content-type") == get.headers.get("content-type")
    assert head.headers.get("etag") == get.headers.get("etag")


def test_head_of_a_stream_ends_at_once(client, job):
    head = client.head(f"{JOBS}/{job['id']}/events", headers={"Accept": SSE})

    assert (head.status_code, head.headers["content-type"], head.content) == (200, f"{SSE}; charset=utf-8", b"")


def test_head_opens_no_socket(client):
    streams = client.get("/api/v1/stats").json()["data"]["here"]["streams"]

    head = client.head("/socket.io/?EIO=4&transport=polling")

    assert (head.status_code, client.get("/api/v1/stats").json()["data"]["here"]["streams"]) == (405, streams)


def test_who_asks_for_the_head_alone_has_no_picture(gateway, client, shared_simulator):
    mine = {**FOX, "prompt": "[delay=1] A fox that nobody has seen"}
    with gateway.asking(AGENTS, mine, org="habits"):
        wait_until(lambda: shared_simulator.bench.calls(mine["prompt"]), what="the call")

    def ended():
        jobs = client.get(JOBS, params={"status": "succeeded"}).json()["data"]["jobs"]
        return next((j["id"] for j in jobs if j["request"]["prompt"] == mine["prompt"]), None)

    wait_until(ended, what="the picture")
    asked = [client.head(f"{JOBS}/{ended()}{part}") for part in ("", "/result", "/content")]
    events = client.head(f"{JOBS}/{ended()}/events", headers={"Accept": SSE})
    again = client.post(AGENTS, json=mine)

    assert [answer.status_code for answer in (*asked, events)] == [200, 200, 302, 200]
    assert (again.headers["x-job-adopted"], len(shared_simulator.bench.calls(mine["prompt"]))) == ("true", 1)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (JOBS, {"GET", "HEAD", "OPTIONS", "POST"}),
        (f"{JOBS}/job_1", {"GET", "HEAD", "OPTIONS", "DELETE"}),
        (AGENTS, {"OPTIONS", "POST"}),
        ("/v1/images/generations", {"OPTIONS", "POST"}),
        ("/api/v1/orgs/acme", {"GET", "HEAD", "OPTIONS", "PATCH"}),
        ("/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_path_says_which_methods_it_takes(client, path, allowed):
    refused, options = client.put(path), client.options(path)

    assert (refused.status_code, options.status_code) == (405, 204)
    for answer in (refused, options):
        assert {method.strip() for method in answer.headers["allow"].split(",")} == allowed


@pytest.mark.parametrize("tag", ['W/"{}"', '"{}"', "*", '"other", "{}"', 'W/"0" ,W/"{}"', '"a,b","{}"'])
def test_a_cache_is_told_that_nothing_has_changed(client, job, tag):
    told = {"If-None-Match": tag.format(job["version"])}

    answer = client.get(f"{JOBS}/{job['id']}", headers=told)
    late = client.get(f"{JOBS}/{job['id']}", params={"wait": 1}, headers=told)

    assert (answer.status_code, late.status_code, answer.content) == (304, 304, b"")
    assert answer.headers["etag"] == f'W/"{job["version"]}"'


@pytest.mark.parametrize("tag", ['"{}0"', 'W/"0"', "{}", '"x{}"', '"*"', ""])
def test_another_tag_is_no_match(client, job, tag):
    answer = client.get(f"{JOBS}/{job['id']}", headers={"If-None-Match": tag.format(job["version"])})

    assert answer.status_code == 200


def test_a_picture_is_not_sent_to_whoever_has_it(job):
    url = job["result"]["url"]
    tag = httpx.head(url).headers["etag"]

    statuses = [httpx.get(url, headers={"If-None-Match": t}).status_code for t in (tag, f"W/{tag}", "*", f'"x", {tag}')]

    assert statuses == [304] * 4
    assert httpx.get(url, headers={"If-None-Match": f'"{tag}"'}).status_code == 200


@pytest.mark.parametrize(
    ("prefer", "status"),
    [
        ('wait="20"', 200),
        ("wait=20;foo", 200),
        ("WAIT = 20 ; foo=bar", 200),
        ('return="a, wait=0", wait=20', 200),
        ("wait=soon, wait=20", 200),
        ("respond-async; foo=bar", 202),
        ("respond-async=yes", 202),
        ("wait=soon, respond-async", 202),
        ('"', 202),
        ("wait=", 202),
    ],
)
def test_a_preference_is_heeded_or_passed_over_and_never_a_fault(client, prefer, status):
    answer = client.post(JOBS, json={**FOX, "prompt": f"preferred {prefer}"}, headers={"Prefer": prefer})

    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "moment",
    ["2026-11-28t00:00:00z", "2026-11-28T00:00:00+05:30", "2026-11-28T00:00:00%2B05:30", "2026-11-28 00:00:00Z"],
)
def test_a_time_is_taken_in_every_form_that_it_may_arrive_in(client, moment):
    answer = client.get(f"{JOBS}?createdAfter={moment}")

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", [JOBS, "/api/v1/batches", "/api/v1/keys", "/api/v1/webhook-deliveries"])
@pytest.mark.parametrize("limit", ["1000000", "9" * 400])
def test_a_page_is_as_long_as_pages_are_however_much_is_asked_for(client, path, limit):
    assert client.get(path, params={"limit": limit}).status_code == 200


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("TEXT/EVENT-STREAM", SSE),
        ("application/json;q=0.5, Text/Event-Stream ; q=1", SSE),
        ("text/event-stream;q=0, application/json", "application/json"),
        ("text/event-stream;q=0.000, */*", "application/json"),
        ("Application/*", "application/json"),
        ("application/json;q=0, */*", None),
        ("image/png", None),
    ],
)
def test_a_media_type_has_no_case_and_weighs_what_its_caller_says(client, job, accept, kind):
    with client.stream("GET", f"{JOBS}/{job['id']}/events", headers={"Accept": accept}) as answer:
        pass

    told = answer.headers["content-type"].partition(";")[0]
    assert (answer.status_code, told) == ((406, "application/json") if kind is None else (200, kind))


@pytest.mark.parametrize(
    ("accept", "problem"), [("Application/Problem+JSON", True), ("application/problem+json;q=0, */*", False)]
)
def test_a_problem_is_told_to_whoever_takes_one(client, accept, problem):
    answer = client.get("/nowhere", headers={"Accept": accept})

    assert answer.headers["content-type"] == ("application/problem+json" if problem else "application/json")


@pytest.mark.parametrize("encoding", ["Identity", "IDENTITY", "identity"])
def test_a_body_may_say_that_it_is_in_no_encoding(client, encoding):
    sent = {"Content-Encoding": encoding, "Content-Type": "Application/JSON; Charset=UTF-8"}

    answer = client.post(f"{JOBS}?dryRun=true", content=json.dumps(MUG), headers=sent)

    assert answer.status_code == 200, answer.text


def test_a_page_of_another_origin_may_read_every_header_of_ours(client):
    answer = client.get(JOBS, headers={"Origin": ORIGIN})

    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    ours = {"x-should-retry", "retry-after-ms", "x-job-adopted", "idempotency-replayed", "preference-applied"}
    assert ours | {"content-range", "location", "etag", "retry-after", "x-job-id", "allow"} <= exposed
