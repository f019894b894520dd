"""The Python client, in both its forms, on a running gateway."""

import asyncio
import threading

import httpx
import pytest

from app.client import (
    ApiError,
    AsyncDarkroom,
    Darkroom,
    JobFailed,
    SignatureInvalid,
    StillRunning,
    Unreachable,
    verify_webhook,
)
from tests.neighbours import free_port, wait_until
from tests.neighbours.gateway import running_gateway, token
from tests.neighbours.redis_server import running_redis
from tests.neighbours.webhook_receiver import running_receiver

MODEL = "gemini/gemini-3.1-flash-image-preview"
HOOKS = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # that of Standard Webhooks' own examples


class Blocking:
    """An asynchronous client whose methods are waited for here, so that one test holds for both."""

    def __init__(self, client, runner):
        self._client, self._runner = client, runner

    def __getattr__(self, name):
        def method(*args, **named):
            found = getattr(self._client, name)(*args, **named)
            return self._runner.run(collected(found) if hasattr(found, "__aiter__") else found)

        return method


async def collected(found):
    return [each async for each in found]


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, **HOOKS) as running:
        yield running


@pytest.fixture(params=["waits", "asyncio"])
def darkroom(request, gateway):
    if request.param == "waits":
        with Darkroom(gateway.url, token("acme")) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        client = AsyncDarkroom(gateway.url, token("acme"))
        yield Blocking(client, runner)
        runner.run(client.close())


def test_a_picture_is_asked_for_in_one_line_and_kept(darkroom, tmp_path):
    job = darkroom.generate("A red fox", model=MODEL, size="1:1")
    darkroom.save(job, tmp_path / "fox")

    assert (job.status, job.request["size"], len(job.images)) == ("succeeded", "1:1", 1)
    assert (tmp_path / "fox").read_bytes() == darkroom.content(job)
    assert len(darkroom.content(job)) == job.images[0].bytes


def test_a_job_is_submitted_looked_at_listed_waited_for_and_erased(darkroom):
    begun = darkroom.submit("[delay=1] A red fox", model=MODEL, client_reference="shelf 3", metadata={"a": "b"})
    with pytest.raises(StillRunning) as still:
        darkroom.wait(begun, seconds=0)
    ended = darkroom.wait(begun.id)
    listed = [job.id for job in darkroom.jobs(clientReference="shelf 3", limit="1")]
    darkroom.erase(ended)

    assert still.value.job.id == begun.id == ended.id
    assert (ended.status, ended.metadata, ended.client_reference) == ("succeeded", {"a": "b"}, "shelf 3")
    assert begun.id in listed
    with pytest.raises(ApiError, match="GONE") as gone:
        darkroom.get(ended)
    assert gone.value.status == 410


def test_a_running_job_is_canceled(darkroom):
    job = darkroom.submit("[delay=5] A red fox", model=MODEL)

    darkroom.cancel(job)

    with pytest.raises(JobFailed, match="canceled") as failed:
        raise JobFailed(darkroom.wait(job))
    assert failed.value.job.id == job.id


def test_a_picture_of_ones_own_and_an_answer_of_ours_are_edited(darkroom, tmp_path):
    first = darkroom.generate("A red fox", model=MODEL)
    darkroom.save(first, tmp_path / "fox.png")

    from_file = darkroom.generate("Make it blue", model=MODEL, images=[tmp_path / "fox.png"])
    from_bytes = darkroom.generate("Make it green", model=MODEL, images=[darkroom.content(first)])
    from_link = darkroom.generate("Make it black", model=MODEL, images=[first.images[0].url])

    assert {job.request["mode"] for job in (from_file, from_bytes, from_link)} == {"edit"}


def test_many_are_made_at_once_and_what_fails_stands_in_its_place(darkroom, shared_simulator):
    before = len(shared_simulator.bench.calls())

    made = darkroom.generate_many(["A red fox", {"prompt": "A hen", "size": "7:7"}, "A blue fox"], model=MODEL, limit=2)

    assert [getattr(each, "status", None) for each in made] == ["succeeded", 400, "succeeded"]
    assert made[1].details["field"] == "size"
    assert "size" in str(made[1])
    assert len(shared_simulator.bench.calls()) - before == 2


def test_events_come_as_they_happen_and_end_with_the_job(darkroom):
    job = darkroom.submit("[delay=1] A red fox", model=MODEL)

    events = list(darkroom.stream(job))

    assert [events[0].type, events[-1].type] == ["snapshot", "image.job.succeeded"]
    assert events[-1].data.images == darkroom.get(job).images
    sequences = [event.sequence for event in events[1:]]
    assert sequences == sorted(set(sequences))


def test_a_refused_prompt_is_told_with_all_that_is_known(darkroom):
    with pytest.raises(JobFailed) as failed:
        darkroom.generate("[refuse] A red fox", model=MODEL)

    job = failed.value.job
    assert (job.status, job.error.details["reason"], job.billing.state) == ("failed", "content_policy", "none")
    assert job.error.message in str(failed.value)


def test_who_has_no_key_is_told_so(gateway):
    with Darkroom(gateway.url) as client, pytest.raises(ApiError, match="UNAUTHORIZED") as refused:
        client.generate("A red fox", model=MODEL)

    assert refused.value.request_id


def test_a_gateway_that_is_not_there_is_told_by_its_address():
    port = free_port()

    with Darkroom(f"http://127.0.0.1:{port}", patience=0.3) as client, pytest.raises(Unreachable, match=str(port)):
        client.get("job_1")


def test_a_gateway_that_dies_while_it_waits_is_asked_again_and_the_picture_is_bought_once(gateway, shared_simulator):
    before = len(shared_simulator.bench.calls())
    with Darkroom(gateway.url, token("acme")) as client:
        jobs = []
        waiting = threading.Thread(target=lambda: jobs.append(client.generate("[delay=2] A red fox", model=MODEL)))
        waiting.start()
        wait_until(lambda: len(shared_simulator.bench.calls()) > before, what="the call")
        gateway.api.kill()
        gateway.api.wait()
        gateway.api = gateway.start("api")
        waiting.join()

    assert jobs[0].status == "succeeded"
    assert len(shared_simulator.bench.calls()) - before == 1


@pytest.mark.parametrize("secret", [None, SECRET])
def test_a_webhook_is_known_by_its_signature(gateway, secret):
    with running_receiver() as receiver, Darkroom(gateway.url, token("acme")) as client:
        hook = {"url": receiver.url, **({"secret": secret} if secret else {})}
        job = client.generate("A red fox", model=MODEL, webhook=hook)
        wait_until(lambda: receiver.posts, what="the post")
    post, jwks = receiver.posts[0], httpx.get(f"{gateway.url}/.well-known/jwks.json").json()
    known = {"secret": secret} if secret else {"jwks": jwks}

    event = verify_webhook(post.body, post.headers, **known)

    assert (event.type, event.data.id, event.data.status) == ("image.job.succeeded", job.id, "succeeded")
    for body, headers, keys in (
        (post.body + b" ", post.headers, known),
        (post.body, {**post.headers, "webhook-timestamp": "1700000000"}, known),
        (post.body, {}, known),
        (post.body, post.headers, {"secret": "whsec_AAAA"}),
        (post.body, post.headers, {"jwks": {"keys": []}}),
    ):
        with pytest.raises(SignatureInvalid):
            verify_webhook(body, headers, **keys)
