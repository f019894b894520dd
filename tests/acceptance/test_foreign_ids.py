"""What belongs to another org is answered like what there is not, by every verb, to the letter."""

import json
import re

import pytest

from tests.acceptance.conftest import JOBS, MUG
from tests.neighbours import wait_until

ALL = "admin:image-gen write:image-gen read:image-gen"
BATCHES, KEYS, HOOKS = "/api/v1/batches", "/api/v1/keys", "/api/v1/webhooks"
DELIVERIES, PROGRESS = "/api/v1/webhook-deliveries", "/v1/images/progress"
SPAN = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
ASKED = [
    *(("job", "GET", f"{JOBS}/{{}}{rest}", None) for rest in ("", "?wait=1", "/result", "/content?index=7", "/events")),
    ("job", "POST", f"{JOBS}/{{}}/cancel", None),
    ("job", "DELETE", f"{JOBS}/{{}}", None),
    ("job", "GET", f"{PROGRESS}/{{}}", None),
    ("job", "GET", f"{JOBS}?cursor={{}}", None),
    ("job", "GET", f"{DELIVERIES}?jobId={{}}", None),
    *(("erased", verb, f"{JOBS}/{{}}", None) for verb in ("GET", "DELETE")),
    ("erased", "GET", f"{JOBS}/{{}}/events", None),
    *(("batch", "GET", f"{BATCHES}/{{}}{rest}", None) for rest in ("", "/results")),
    ("batch", "POST", f"{BATCHES}/{{}}/cancel", None),
    ("batch", "GET", f"{JOBS}?batchId={{}}", None),
    *(("key", verb, f"{KEYS}/{{}}", None) for verb in ("GET", "DELETE")),
    *(("key", "POST", f"{KEYS}/{{}}/rotate", body) for body in (None, {"overlapSeconds": -1})),
    *(("endpoint", verb, f"{HOOKS}/{{}}", None) for verb in ("GET", "DELETE")),
    *(("endpoint", "PATCH", f"{HOOKS}/{{}}", body) for body in ({"description": "x"}, {"url": "nonsense"})),
    *(("endpoint", "POST", f"{HOOKS}/{{}}/{act}", None) for act in ("enable", "rotate-secret", "test")),
    ("endpoint", "POST", f"{HOOKS}/{{}}/redeliver", SPAN),
    ("endpoint", "POST", JOBS, {**MUG, "webhook": {"endpointId": "{}"}}),
    ("endpoint", "GET", f"{DELIVERIES}?endpointId={{}}", None),
    ("delivery", "GET", f"{DELIVERIES}/{{}}", None),
    ("delivery", "POST", f"{DELIVERIES}/{{}}/redeliver", None),
    *(("org", verb, "/api/v1/orgs/{}", body) for verb, body in (("GET", None), ("PATCH", {"weight": 2}))),
]
"""What is named, and how it is asked for: the mark stands for its id."""


@pytest.fixture(scope="module")
def theirs(gateway):
    """One thing of each kind, of another org."""
    with gateway.client("theirs", scope=ALL) as client:
        made = {
            "endpoint": client.post(HOOKS, json={"url": "https://localhost:8443/hook"}),
            "key": client.post(KEYS, json={"name": "CI"}),
            "batch": client.post(BATCHES, json={"items": [MUG]}),
            "job": client.post(JOBS, json=MUG, headers={"Prefer": "wait=30"}),
            "erased": client.post(JOBS, json=MUG, headers={"Prefer": "wait=30"}),
        }
        ids = {kind: answer.json()["data"]["id"] for kind, answer in made.items()}
        assert client.delete(f"{JOBS}/{ids['erased']}").status_code == 204
        wait_until(lambda: deliveries_of_one_more(client), what="a delivery")
        delivery = deliveries_of_one_more(client)[0]["id"]
    return {**ids, "delivery": delivery, "org": "theirs"}


def deliveries_of_one_more(client):
    """After one more job: endpoints hear of those that are made some seconds after them."""
    assert client.post(JOBS, json=MUG, headers={"Prefer": "wait=30"}).status_code == 200
    return client.get(DELIVERIES).json()["data"]["deliveries"]


def told(answer, name):
    """Status, headers and body, without what is each answer's own."""
    own = ("date", "x-request-id", "content-length")
    headers = {key: value.replace(name, "ID") for key, value in answer.headers.items() if key not in own}
    body = re.sub(r'"timestamp":\d+', "", answer.text).replace(name, "ID")
    return answer.status_code, headers, body


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: " ".join(asked[:3]))
def test_nobody_learns_whether_another_org_has_it(gateway, theirs, asked):
    kind, verb, path, body = asked
    there = theirs[kind]
    nowhere = f"{there[:4]}{'0' * 30}" if "_" in there else "nobody"

    answers = []
    with gateway.client("ours", scope=ALL) as client:
        for name in (there, nowhere):
            sent = None if body is None else json.loads(json.dumps(body).replace("{}", name))
            answers.append(told(client.request(verb, path.format(name), json=sent), name))

    assert answers[0] == answers[1]
    assert answers[0][0] in ({404, 400} if "{}" in path.partition("?")[0] or body else {200})
