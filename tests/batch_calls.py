"""Asking for batches, as tests do."""

import json
import uuid

from tests.neighbours import wait_until

BATCHES = "/api/v1/batches"
FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox"}


def ask(client, prompts, *, key=None, **fields):
    body = {"defaults": FOX, "items": [{"prompt": prompt} for prompt in prompts], **fields}
    return client.post(BATCHES, json=body, headers={"Idempotency-Key": key} if key else None)


def named(count):
    """As many prompts that nobody else uses."""
    run = uuid.uuid4()
    return [f"{run} number {number}." for number in range(count)]


def look(client, batch):
    return client.get(f"{BATCHES}/{batch['id']}").json()["data"]


def ended(client, batch, seconds=60):
    wait_until(
        lambda: look(client, batch)["status"] in {"finished", "canceled"}, what="the batch's end", seconds=seconds
    )
    return look(client, batch)


def lines(client, batch):
    answer = client.get(f"{BATCHES}/{batch['id']}/results")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def nonzero(batch):
    return {name: count for name, count in batch["counts"].items() if count}
