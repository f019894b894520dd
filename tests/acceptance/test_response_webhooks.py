"""OpenAI's webhooks for responses in the background, unwrapped by OpenAI's own client."""

import openai
import pytest

from tests.acceptance.test_responses import ask, client, ended
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis
from tests.neighbours.webhook_receiver import running_receiver
from tests.webhook_calls import LOOPBACK, made, refused, rows, settled

EVENTS = ["response.completed", "response.failed", "response.cancelled", "response.incomplete"]


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    with running_redis() as server, running_gateway(server.url, shared_simulator, **LOOPBACK) as running:
        yield running


def test_each_end_in_the_background_is_told_once_and_signed_as_openai_signs_it(gateway):
    with running_receiver() as receiver, gateway.client() as caller, client(gateway) as asking:
        endpoint = made(caller, receiver.url, events=EVENTS)
        completed = ask(asking, "hooks: completed", background=True)
        failed = ask(asking, "hooks: failed [refuse]", background=True)
        cancelled = ask(asking, "hooks: cancelled [delay=30]", background=True)
        asking.responses.cancel(cancelled.id)
        ask(asking, "hooks: waited for")
        for response in (completed, failed, cancelled):
            ended(asking, response)

        settled(caller, "delivered", 3)
        told = [asking.webhooks.unwrap(p.body, p.headers, secret=endpoint["secret"]) for p in receiver.posts]
        with pytest.raises(openai.InvalidWebhookSignatureError):
            asking.webhooks.unwrap(receiver.posts[0].body + b" ", receiver.posts[0].headers, secret=endpoint["secret"])

        assert {event.data.id: event.type for event in told} == {
            completed.id: "response.completed",
            failed.id: "response.failed",
            cancelled.id: "response.cancelled",
        }
        assert [event.id for event in told] == [post.headers["webhook-id"] for post in receiver.posts]
        assert len(rows(caller)) == len(told) == 3


def test_an_endpoint_that_names_both_kinds_is_told_both_by_ids_of_their_own(gateway):
    with running_receiver() as receiver, gateway.client("both") as caller, client(gateway, "both") as asking:
        made(caller, receiver.url, events=["image.job.succeeded", "response.completed"])
        ended(asking, ask(asking, "hooks: both", background=True))

        posts = receiver.until(2)

    assert sorted(post.event["type"] for post in posts) == ["image.job.succeeded", "response.completed"]
    assert len({post.headers["webhook-id"] for post in posts}) == 2


def test_a_jobs_own_webhook_is_told_of_jobs_alone(gateway):
    body = {"provider": "azure-openai", "model": "gpt-image-2", "prompt": "hooks: own"}
    hook = {"url": "https://example.com/hook", "events": ["response.completed"]}
    with gateway.client() as caller:
        answer = caller.post("/api/v1/jobs", json={**body, "webhook": hook})

    refused(answer, "webhook.events[0]")
