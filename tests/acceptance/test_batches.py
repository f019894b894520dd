"""`/api/v1/batches`: many at once, each once, and the results in the order asked."""

import hashlib
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.acceptance.conftest import JOBS
from tests.batch_calls import BATCHES, FOX, ask, ended, lines, look, named, nonzero
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway

KINDS = (
    {"provider": "azure-openai", "model": "gpt-image-2", "size": "1024x1024"},
    {"provider": "gemini", "model": "gemini-3.1-flash-image-preview"},
    {"provider": "openai", "model": "gpt-image-2", "size": "512x512"},
)


@pytest.fixture(scope="module")
def client(gateway):
    with gateway.client() as client:
        yield client


@pytest.fixture
def idle(redis_url, simulator):
    """A gateway in which nothing runs until a worker is started."""
    with running_gateway(redis_url, simulator, workers=0) as gateway:
        yield gateway


def error_of(answer):
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["details"].get("field")


def test_thirty_mixed_items_end_and_their_results_are_in_the_order_asked(gateway, client, shared_simulator):
    prompts = [f"{prompt} [delay={0.3 if i % 5 == 0 else 0.01}]" for i, prompt in enumerate(named(30))]
    items = [{**KINDS[i % 3], "prompt": prompt} for i, prompt in enumerate(prompts)]

    answer = client.post(BATCHES, json={"items": items, "metadata": {"project": "atlas"}, "clientReference": "mixed"})
    batch = ended(client, answer.json()["data"])
    told = lines(client, batch)

    assert answer.status_code == 202
    assert answer.headers["location"] == batch["urls"]["self"] == f"{gateway.url}{BATCHES}/{batch['id']}"
    assert nonzero(batch) == {"total": 30, "accepted": 30, "succeeded": 30}
    assert (batch["status"], batch["metadata"], batch["clientReference"]) == ("finished", {"project": "atlas"}, "mixed")
    assert [(line["index"], line["status"]) for line in told] == [(i, "succeeded") for i in range(30)]
    pictures = [hashlib.sha256(httpx.get(line["result"]["url"]).content).hexdigest() for line in told]
    assert [[sha256] for sha256 in pictures] == [
        shared_simulator.bench.calls(prompt)[0]["pictures"] for prompt in prompts
    ]
    listed = client.get(f"{JOBS}?batchId={batch['id']}&limit=100").json()["data"]["jobs"]
    assert {job["id"] for job in listed} == {line["jobId"] for line in told}
    assert {job["batchId"] for job in listed} == {batch["id"]}


def test_what_an_item_says_holds_against_the_defaults_and_those_against_the_batch(client):
    defaults = {**FOX, "n": 2, "priority": "normal", "metadata": {"a": "b"}}

    answer = client.post(
        BATCHES, json={"items": [{}, {"n": 1, "priority": "high"}], "defaults": defaults, "priority": "high"}
    )
    plain = ask(client, named(1), priority="high").json()["data"]
    jobs = [
        client.get(f"{JOBS}/{item['jobId']}?wait=20&until=terminal").json()["data"]
        for item in answer.json()["data"]["items"]
    ]

    assert [len(job["result"].get("images", [0])) for job in jobs] == [2, 1]
    assert [job["metadata"] for job in jobs] == [{"a": "b"}] * 2
    assert ended(client, plain)["status"] == "finished"


def test_items_that_cannot_be_accepted_are_listed_and_cost_nothing(client, shared_simulator):
    prompt, failing = named(2)
    reference = {"b64": "AAAA", "mimeType": "image/png"}
    items = [
        {**FOX, "prompt": prompt},
        {**FOX, "prompt": prompt, "n": 99},
        {**FOX, "prompt": prompt, "seed": -1},
        {**FOX, "prompt": prompt, "referenceImages": [reference]},
        {**FOX, "prompt": prompt, "webhook": {"url": "http://example.com"}},
        {**FOX, "prompt": prompt, "cancelAfter": 1},
        {"provider": "nobody", "model": "sdxl", "prompt": prompt},
        {**FOX, "prompt": f"{failing} [refuse]"},
    ]

    answer = client.post(BATCHES, json={"items": items})
    batch = ended(client, answer.json()["data"])

    assert answer.status_code == 202
    assert nonzero(batch) == {"total": 8, "accepted": 2, "rejected": 6, "succeeded": 1, "failed": 1}
    refused = [
        (i["error"]["code"], i["error"]["details"]["field"]) for i in batch["items"] if i["status"] == "rejected"
    ]
    assert refused == [
        ("INVALID_INPUT", "items[1].n"),
        ("INVALID_INPUT", "items[2].seed"),
        ("VALIDATION_ERROR", "items[3].referenceImages[0]"),
        ("INVALID_INPUT", "items[4].webhook.url"),
        ("INVALID_INPUT", "items[5].cancelAfter"),
        ("INVALID_INPUT", "items[6].provider"),
    ]
    told = lines(client, batch)
    assert [line["status"] for line in told] == ["succeeded", *["rejected"] * 6, "failed"]
    assert [line.get("error") for line in told] == [item.get("error") for item in batch["items"]]
    assert ["jobId" in line for line in told] == [True, *[False] * 6, True]
    assert told[7]["error"]["details"]["jobId"] == told[7]["jobId"]
    assert len(shared_simulator.bench.calls(prompt)) == 1


def test_one_bad_item_refuses_an_atomic_batch_and_nothing_is_created(gateway, shared_simulator):
    prompt, png = named(1)[0], {"url": "https://169.254.169.254/x.png", "mimeType": "image/png"}
    items = [{"prompt": prompt}] * 3 + [{"prompt": prompt, "referenceImage": png}, {"prompt": prompt, "n": 0}]
    with gateway.client("atoms") as client:
        refused = client.post(BATCHES, json={"items": items, "defaults": FOX, "atomic": True})
        left = client.get(BATCHES).json()["data"]["batches"], client.get(JOBS).json()["data"]["jobs"]
        accepted = client.post(BATCHES, json={"items": items[:3], "defaults": FOX, "atomic": True}).json()["data"]
        batch = ended(client, accepted)

    assert error_of(refused) == (400, "VALIDATION_ERROR", "items[3].referenceImage.url")
    assert left == ([], [])
    assert nonzero(batch) == {"total": 3, "accepted": 3, "succeeded": 3}
    assert len(shared_simulator.bench.calls(prompt)) == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"items": [FOX] * 501}, "items"),
        ({"items": []}, "items"),
        ({}, "items"),
        ({"items": {}}, "items"),
        ({"items": [FOX, 7]}, "items[1]"),
        ({"items": [FOX, FOX, FOX, {**FOX, "promt": "x"}]}, "items[3].promt"),
        ({"items": [FOX, {**FOX, "prompt": 7}]}, "items[1].prompt"),
        ({"items": [FOX, {"provider": "gemini", "model": FOX["model"]}]}, "items[1].prompt"),
        ({"items": [{**FOX, "webhook": {"url": "https://example.com", "colour": 1}}]}, "items[0].webhook.colour"),
        ({"items": [FOX], "defaults": {"promt": "x"}}, "defaults.promt"),
        ({"items": [FOX], "defaults": {"mask": {"b64": "AAAA"}}}, "defaults.mask"),
        ({"items": [FOX], "defaults": {"referenceImages": [{"b64": "AAAA"}]}}, "defaults.referenceImages"),
        ({"items": [FOX], "defaults": []}, "defaults"),
        ({"items": [FOX], "Atomic": True}, "Atomic"),
        ({"items": [FOX], "metadata": {"": "x"}}, "metadata."),
        ({"items": [FOX], "clientReference": "r" * 129}, "clientReference"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_the_place(gateway, body, field):
    with gateway.client("readers") as client:
        answer = client.post(BATCHES, json=body)

        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["details"]["field"] == field
        assert client.get(BATCHES).json()["data"]["batches"] == []


def test_what_holds_for_every_item_is_bounded_by_their_number(gateway, shared_simulator):
    before = len(shared_simulator.bench.calls())
    with gateway.client("spreaders") as client:
        answer = client.post(BATCHES, json={"items": [FOX] * 500, "defaults": {"negativePrompt": "n" * 100_000}})

        assert error_of(answer) == (413, "PAYLOAD_TOO_LARGE", "defaults")
        assert client.get(BATCHES).json()["data"]["batches"] == []
    assert len(shared_simulator.bench.calls()) == before


def test_the_same_key_and_body_is_the_same_batch_and_another_body_is_refused(client, shared_simulator):
    prompts, key = named(4), str(uuid.uuid4())

    first = ask(client, prompts, key=key)
    with ThreadPoolExecutor(6) as pool:
        again = list(pool.map(lambda _: ask(client, prompts, key=key), range(6)))
    batch = ended(client, first.json()["data"])
    late = ask(client, prompts, key=key)
    other = ask(client, prompts[:3], key=key)

    assert first.status_code == 202
    assert {a.status_code for a in (*again, late)} == {200}
    assert {a.headers["idempotency-replayed"] for a in (*again, late)} == {"true"}
    assert {a.json()["data"]["id"] for a in (*again, late)} == {batch["id"]}
    assert late.json()["data"]["counts"] == batch["counts"]
    assert error_of(other)[:2] == (422, "IDEMPOTENCY_KEY_REUSED")
    assert [len(shared_simulator.bench.calls(prompt)) for prompt in prompts] == [1] * 4


def test_the_same_key_sent_many_times_at_once_makes_one_batch(client, shared_simulator):
    prompts, key = named(10), str(uuid.uuid4())

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(client, prompts, key=key), range(8)))
    batch = ended(client, answers[0].json()["data"])

    assert sorted(a.status_code for a in answers) == [200] * 7 + [202]
    assert {a.json()["data"]["id"] for a in answers} == {batch["id"]}
    assert nonzero(batch) == {"total": 10, "accepted": 10, "succeeded": 10}
    assert [len(shared_simulator.bench.calls(prompt)) for prompt in prompts] == [1] * 10


def test_an_erased_job_is_gone_from_its_batch_and_the_key_does_not_buy_it_again(client, shared_simulator):
    prompts, key = named(2), str(uuid.uuid4())
    batch = ended(client, ask(client, prompts, key=key).json()["data"])

    client.delete(f"{JOBS}/{batch['items'][0]['jobId']}").raise_for_status()
    again = ask(client, prompts, key=key).json()["data"]

    assert [item["status"] for item in again["items"]] == ["gone", "succeeded"]
    assert again["status"] == "finished"
    assert [len(shared_simulator.bench.calls(prompt)) for prompt in prompts] == [1, 1]


def test_an_item_that_finds_the_queue_full_is_refused_for_good_and_alone(idle):
    with idle.client() as client:
        first = ask(client, named(1)).json()["data"]
        prompts, key = named(5), "k"

        answer = ask(client, prompts, key=key, defaults={**FOX, "maxQueuePosition": 3})
        batch = answer.json()["data"]
        client.post(f"{BATCHES}/{first['id']}/cancel")
        again = ask(client, prompts, key=key, defaults={**FOX, "maxQueuePosition": 3}).json()["data"]

    assert nonzero(batch) == {"total": 5, "accepted": 3, "rejected": 2, "queued": 3}
    assert {i["error"]["code"] for i in batch["items"] if i["status"] == "rejected"} == {"QUEUE_FULL"}
    assert again["items"] == batch["items"]


def test_cancel_ends_what_has_not_ended_and_the_key_brings_nothing_back(client, shared_simulator):
    prompts, key = [f"{prompt} [delay=3]" for prompt in named(40)], str(uuid.uuid4())
    batch = ask(client, prompts, key=key).json()["data"]
    wait_until(lambda: look(client, batch)["counts"]["running"] > 0, what="the first calls")

    answer = client.post(f"{BATCHES}/{batch['id']}/cancel")
    after = ended(client, batch)
    calls = sum(len(shared_simulator.bench.calls(prompt)) for prompt in prompts)
    again = ask(client, prompts, key=key).json()["data"]
    repeated = client.post(f"{BATCHES}/{batch['id']}/cancel")

    assert answer.status_code in {200, 202}
    assert nonzero(after) == {"total": 40, "accepted": 40, "canceled": 40}
    assert (after["status"], again["counts"], repeated.status_code) == ("canceled", after["counts"], 200)
    assert 1 <= calls <= 20
    assert sum(len(shared_simulator.bench.calls(prompt)) for prompt in prompts) == calls
    assert {line["status"] for line in lines(client, batch)} == {"canceled"}


def test_cancel_leaves_a_finished_batch_as_it_is(client):
    batch = ended(client, ask(client, named(2)).json()["data"])

    answer = client.post(f"{BATCHES}/{batch['id']}/cancel")

    assert answer.status_code == 200
    assert answer.json()["data"] == batch


def test_the_webhook_of_a_batch_is_that_of_each_job_unless_an_item_has_its_own(idle):
    body = {
        "items": [{}, {"webhook": {"url": "https://own.example/hook"}}],
        "defaults": FOX,
        "webhook": {"url": "https://all.example/hook"},
    }
    with idle.client() as client:
        items = client.post(BATCHES, json=body).json()["data"]["items"]
        jobs = [client.get(f"{JOBS}/{item['jobId']}").json()["data"] for item in items]

    assert [job["webhook"]["url"] for job in jobs] == ["https://all.example/hook", "https://own.example/hook"]


def test_another_orgs_batch_is_404_and_not_in_the_list(gateway, client):
    batch = ask(client, named(1)).json()["data"]
    with gateway.client("rival") as rival:
        answers = [
            rival.get(f"{BATCHES}/{batch['id']}"),
            rival.get(f"{BATCHES}/{batch['id']}/results"),
            rival.post(f"{BATCHES}/{batch['id']}/cancel"),
            client.get(f"{BATCHES}/bat_{'0' * 30}"),
            client.get(f"{BATCHES}/nonsense"),
        ]
        listed = rival.get(BATCHES).json()["data"]["batches"]

    assert [error_of(answer)[:2] for answer in answers] == [(404, "NOT_FOUND")] * 5
    assert listed == []
    assert ended(client, batch)["counts"]["succeeded"] == 1


def test_the_list_goes_from_the_newest_to_the_oldest(gateway):
    with gateway.client("listers") as client:
        made = []
        for _ in range(3):
            made.append(ask(client, named(1)).json()["data"]["id"])
            time.sleep(0.002)
        first = client.get(f"{BATCHES}?limit=2").json()["data"]
        rest = client.get(f"{BATCHES}?limit=2&cursor={first['cursor']}").json()["data"]
        wrong = client.get(f"{BATCHES}?cursor=job_1")

    assert [batch["id"] for batch in first["batches"] + rest["batches"]] == made[::-1]
    assert rest["cursor"] is None
    assert error_of(wrong) == (400, "INVALID_INPUT", "cursor")


def test_who_may_only_read_neither_asks_nor_cancels(gateway, client):
    batch = ask(client, named(1)).json()["data"]
    with gateway.client(scope="read:image-gen") as reader:
        assert look(reader, batch)["id"] == batch["id"]
        assert ask(reader, named(1)).status_code == 403
        assert reader.post(f"{BATCHES}/{batch['id']}/cancel").status_code == 403


def test_a_single_job_begins_before_the_tail_of_a_batch_that_came_first(redis_url, simulator):
    with running_gateway(redis_url, simulator, DARKROOM_WORKER_SLOTS="2") as gateway, gateway.client() as client:
        batch = ask(client, [f"{prompt} [delay=0.05]" for prompt in named(50)]).json()["data"]

        single = client.post(JOBS, json=FOX, headers={"Prefer": "wait=30"}).json()["data"]
        meanwhile = look(client, batch)
        after = ended(client, batch)

    assert single["status"] == "succeeded"
    assert meanwhile["counts"]["queued"] > 25
    assert nonzero(after) == {"total": 50, "accepted": 50, "succeeded": 50}
