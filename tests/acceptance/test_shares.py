"""Streams and waits are shared: nobody holds all that a process has, and a refusal says whose bound it is."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from tests.acceptance.conftest import AGENTS, JOBS, MUG
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway, token
from tests.neighbours.redis_server import running_redis
from tests.neighbours.socket_client import listening

pytestmark = pytest.mark.anyio
SSE = {"Accept": "text/event-stream"}
GENERATIONS = "/v1/images/generations"
IMAGE_STREAM = {"model": "gpt-image-2", "prompt": "Streamed", "stream": True}
MOST = 8
BOUNDS = {"caller": 2, "org": 4, "process": 8}


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    """One without a worker: what waits goes on waiting."""
    told = {"DARKROOM_STREAMS": str(MOST), "DARKROOM_WAITS": str(MOST)}
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, workers=0, **told) as running:
        yield running


@asynccontextmanager
async def calling(gateway, org="acme", subject="ann"):
    headers = {"Authorization": f"Bearer {token(org, sub=subject)}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def held(gateway):
    with gateway.client("watcher") as client:
        return client.get("/api/v1/stats").json()["data"]["here"]


async def holds(gateway, **kinds):
    """Once the process holds so many, and no others."""
    expected = {"waits": 0, "streams": 0, **kinds}
    await asyncio.to_thread(wait_until, lambda: held(gateway) == expected, 20, f"{expected}")


def refused(answer, status, whose):
    shown = answer.json()["error"]
    details = {name: shown["details"].get(name) for name in ("limitOf", "limit")}
    assert (answer.status_code, details) == (status, {"limitOf": whose, "limit": BOUNDS[whose]}), answer.text
    assert answer.headers["retry-after"] == "5"
    return shown


async def job_of(client):
    return (await client.post(JOBS, json=MUG)).json()["data"]["id"]


class Streams:
    """Event streams that stay open, by whoever is asked for."""

    def __init__(self, gateway, stack):
        self._gateway = gateway
        self._stack = stack

    async def open(self, org, subject):
        """The answer: of a stream its head, of a refusal all of it."""
        client = await self._stack.enter_async_context(calling(self._gateway, org, subject))
        path = f"{JOBS}/{await job_of(client)}/events"
        answer = await self._stack.enter_async_context(client.stream("GET", path, headers=SSE))
        if not answer.is_success:
            await answer.aread()
        return answer


async def test_a_caller_holds_a_quarter_of_the_streams_an_org_half_and_the_rest_is_for_others(gateway):
    async with AsyncExitStack() as stack:
        streams = Streams(gateway, stack)
        of_ann = [await streams.open("acme", "ann") for _ in range(3)]
        of_bob = [await streams.open("acme", "bob") for _ in range(2)]
        of_cleo = await streams.open("acme", "cleo")
        of_rivals = [await streams.open("rival", subject) for subject in ("ann", "ann", "bob", "bob")]
        of_nobody = await streams.open("third", "ann")
        counted = held(gateway)

    assert [answer.status_code for answer in (*of_ann, *of_bob, *of_rivals)] == [200, 200, 429, *[200] * 6]
    assert "you have 2 event streams" in refused(of_ann[2], 429, "caller")["message"]
    assert "your org has 4 event streams" in refused(of_cleo, 429, "org")["message"]
    assert refused(of_nobody, 429, "process")["code"] == "TOO_MANY_STREAMS"
    assert counted["streams"] == MOST
    await holds(gateway)


@pytest.mark.parametrize("path", ["events", "progress", "post", "agents", "images", "socket"])
async def test_whatever_kind_of_stream_it_is_it_counts_as_one_of_its_callers(gateway, path):
    async with AsyncExitStack() as stack:
        streams = Streams(gateway, stack)
        for _ in range(2):
            assert (await streams.open("acme", "ann")).is_success
        client = await stack.enter_async_context(calling(gateway))
        job_id = await job_of(client)
        before = len((await client.get(f"{JOBS}?limit=100")).json()["data"]["jobs"])

        if path == "socket":
            with pytest.raises(Exception, match="One or more namespaces failed to connect"):
                async with listening(gateway.url, token("acme", sub="ann")):
                    pass
        else:
            answer = await {
                "events": lambda: client.get(f"{JOBS}/{job_id}/events", headers=SSE),
                "progress": lambda: client.get(f"/v1/images/progress/{job_id}"),
                "post": lambda: client.post(JOBS, json=MUG, headers=SSE),
                "agents": lambda: client.post(AGENTS, json=MUG, headers=SSE),
                "images": lambda: client.post(GENERATIONS, json=IMAGE_STREAM),
            }[path]()
            assert answer.status_code == 429
            assert "you have 2 event streams" in answer.text
        assert len((await client.get(f"{JOBS}?limit=100")).json()["data"]["jobs"]) == before
    await holds(gateway)


async def test_sockets_count_as_their_callers_streams(gateway):
    secret = token("acme", sub="ann")
    async with listening(gateway.url, secret), listening(gateway.url, secret), calling(gateway) as client:
        answer = await client.get(f"{JOBS}/{await job_of(client)}/events", headers=SSE)
        async with listening(gateway.url, token("acme", sub="bob")) as other:
            assert other.client.connected

    refused(answer, 429, "caller")
    await holds(gateway)


async def test_of_fifty_streams_at_once_a_caller_gets_his_share_and_nothing_is_made_for_the_others(gateway):
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(calling(gateway, "flood"))
        asked = [client.stream("POST", JOBS, headers=SSE, json={**MUG, "prompt": f"{n}"}) for n in range(50)]
        answers = await asyncio.gather(*(stack.enter_async_context(stream) for stream in asked))
        made = (await client.get(f"{JOBS}?limit=100")).json()["data"]["jobs"]

        assert sorted(answer.status_code for answer in answers) == [200] * 2 + [429] * 48
        assert len(made) == 2
    await holds(gateway)


WAITS = {
    "agents": lambda client, _: client.post(AGENTS, json={**MUG, "prompt": "By the agents' face"}),
    "images": lambda client, _: client.post(GENERATIONS, json={"model": "gpt-image-2", "prompt": "By OpenAI's"}),
    "post": lambda client, _: client.post(JOBS, json=MUG, headers={"Prefer": "wait=60"}),
    "poll": lambda client, job_id: client.get(f"{JOBS}/{job_id}?wait=60"),
    "poll by header": lambda client, job_id: client.get(f"{JOBS}/{job_id}", headers={"Prefer": "wait=60"}),
}


@pytest.mark.parametrize("kind", WAITS)
async def test_a_caller_holds_a_quarter_of_the_waits_whatever_their_kind(gateway, kind):
    org = f"waits-{kind.replace(' ', '-')}"
    async with calling(gateway, org) as client, calling(gateway, org, "bob") as colleague:
        job_id = await job_of(client)
        waiting = [asyncio.create_task(WAITS["poll"](client, job_id)) for _ in range(2)]
        await holds(gateway, waits=2)

        answer = await WAITS[kind](client, job_id)
        made = (await client.get(JOBS)).json()["data"]["jobs"]
        waiting.append(asyncio.create_task(WAITS[kind](colleague, job_id)))
        await holds(gateway, waits=3)
        for wait in waiting:
            wait.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    assert answer.status_code == 503
    assert "you have 2 requests waiting" in answer.text
    if kind != "images":
        assert refused(answer, 503, "caller")["details"]["reason"] == "waiters_full"
    assert [job["id"] for job in made] == [job_id]
    await holds(gateway)


async def test_an_org_holds_half_of_the_waits_and_who_does_not_wait_is_served_all_the_same(gateway):
    async with AsyncExitStack() as stack:
        waiting = []
        for org, subject in [("acme", "ann"), ("acme", "bob"), ("rival", "ann"), ("rival", "bob")]:
            client = await stack.enter_async_context(calling(gateway, org, subject))
            waiting += [asyncio.create_task(client.post(AGENTS, json={**MUG, "prompt": f"{n}"})) for n in range(2)]
            if len(waiting) == 4:
                await holds(gateway, waits=4)
                cleo = await stack.enter_async_context(calling(gateway, "acme", "cleo"))
                of_cleo = await cleo.post(AGENTS, json=MUG)
        await holds(gateway, waits=8)
        third = await stack.enter_async_context(calling(gateway, "third"))
        of_nobody = await third.post(AGENTS, json=MUG)
        later = await third.post(AGENTS, json=MUG, headers={"Prefer": "respond-async"})
        for wait in waiting:
            wait.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    refused(of_cleo, 503, "org")
    refused(of_nobody, 503, "process")
    assert later.status_code == 202
    await holds(gateway)


async def test_a_stream_that_has_ended_leaves_its_place_before_its_caller_can_ask_for_the_next(
    redis_url, shared_simulator
):
    with running_gateway(redis_url, shared_simulator, workers=0, DARKROOM_STREAMS="1") as gateway:
        async with calling(gateway) as client:
            made = await client.post(JOBS, json=MUG, headers={"Idempotency-Key": "canceled"})
            await client.post(f"{JOBS}/{made.json()['data']['id']}/cancel")
            again = client.build_request("POST", JOBS, json=MUG, headers={**SSE, "Idempotency-Key": "canceled"})
        reader, writer = await asyncio.open_connection("127.0.0.1", again.url.port)
        sent = on_the_wire(again)
        writer.write(2 * sent + sent.replace(b"keep-alive", b"close"))  # each begins as the one before it ends
        told = await asyncio.wait_for(reader.read(), 20)
        writer.close()

    assert (told.count(b"HTTP/1.1 200"), told.count(b"event: image.job.canceled")) == (3, 3)


def on_the_wire(request):
    headers = b"".join(name + b": " + value + b"\r\n" for name, value in request.headers.raw)
    return b"POST " + request.url.raw_path + b" HTTP/1.1\r\n" + headers + b"\r\n" + request.content
