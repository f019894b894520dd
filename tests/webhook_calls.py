"""How the tests of webhook endpoints ask: make one, finish a job, read the log."""

from __future__ import annotations

from tests.acceptance.conftest import JOBS, MUG
from tests.neighbours import wait_until

HOOKS, LOG = "/api/v1/webhooks", "/api/v1/webhook-deliveries"
LOOPBACK = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "DARKROOM_WEBHOOK_SCHEDULE": "0,1,1"}


def made(client, url, **fields):
    answer = client.post(HOOKS, json={"url": url, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


def finished(client, **more):
    job = client.post(JOBS, json={**MUG, **more}, headers={"Prefer": "wait=60"})
    assert job.status_code == 200, job.text
    return job.json()["data"]


def rows(client, **query):
    answer = client.get(LOG, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["deliveries"]


def settled(client, state, count=1, **query):
    wait_until(lambda: len(rows(client, state=state, **query)) >= count, what=f"{count} rows to be {state}", seconds=25)
    return rows(client, state=state, **query)


def seen(client, endpoint):
    return client.get(f"{HOOKS}/{endpoint['id']}").json()["data"]


def refused(answer, field, status=400):
    error = answer.json()["error"]
    assert (answer.status_code, error["details"].get("field")) == (status, field), answer.text
