"""`/api/v1/jobs`: submit and poll."""

import time
import uuid

import httpx
import pytest

from tests.neighbours import wait_until

JOBS = "/api/v1/jobs"
FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox"}


def _new(client, headers=None, **fields):
    return client.post(JOBS, json={**FOX, **fields}, headers=headers)


def _ended(client, job_id):
    job = client.get(f"{JOBS}/{job_id}?wait=30&until=terminal").json()["data"]
    assert job["status"] not in {"queued", "running", "canceling"}
    return job


def test_a_new_job_is_202_with_where_to_look_and_ends_with_the_picture(gateway):
    with gateway.client() as client:
        answer = _new(client)
        job_id = answer.json()["data"]["id"]
        job = _ended(client, job_id)

        assert answer.status_code == 202
        assert answer.headers["location"] == f"{gateway.url}{JOBS}/{job_id}"
        assert answer.headers["x-job-id"] == job_id
        assert int(answer.headers["retry-after"]) >= 1
        assert job["status"] == "succeeded"
        assert client.get(f"{JOBS}/{job_id}/result").json()["data"] == job["result"]
        content = client.get(f"{JOBS}/{job_id}/content")
        assert content.status_code == 302
        assert httpx.get(content.headers["location"]).headers["content-type"] == "image/jpeg"


def test_prefer_wait_answers_200_with_the_finished_job(gateway):
    with gateway.client() as client:
        answer = _new(client, {"Prefer": "wait=20"})

    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.json()["data"]["status"] == "succeeded"


def test_four_pictures_are_one_job_with_as_many_calls_as_the_model_needs(gateway, shared_simulator):
    prompt = f"four {uuid.uuid4()}"
    with gateway.client() as client:
        gemini = _new(client, {"Prefer": "wait=30"}, prompt=prompt, n=4).json()["data"]
        azure = _new(
            client, {"Prefer": "wait=30"}, provider="azure-openai", model="gpt-image-2", prompt=prompt, n=4
        ).json()["data"]

    assert [i["index"] for i in gemini["result"]["images"]] == [0, 1, 2, 3]
    assert len({i["url"] for i in gemini["result"]["images"] + azure["result"]["images"]}) == 8
    assert (gemini["billing"]["providerCalls"], azure["billing"]["providerCalls"]) == (4, 1)
    assert len(shared_simulator.bench.calls(prompt)) == 5


def test_a_wait_that_ends_first_is_504_for_the_plain_caller_and_the_job_goes_on(gateway, shared_simulator):
    body = {**FOX, "prompt": "[delay=3] slow"}
    with gateway.client() as client:
        answer = client.post("/api/v1/agents/images", json=body, headers={"Prefer": "wait=1"})
        job_id = answer.headers["x-job-id"]

        assert answer.status_code == 202
        assert answer.headers["preference-applied"] == "wait=1"
        assert client.get(f"{JOBS}/{job_id}/result").status_code == 202
        assert _ended(client, job_id)["status"] == "succeeded"
    assert len(shared_simulator.bench.calls("[delay=3] slow")) == 1


def test_an_etag_that_still_holds_is_304_without_a_body(gateway):
    with gateway.client() as client:
        job_id = _new(client, {"Prefer": "wait=20"}).json()["data"]["id"]
        first = client.get(f"{JOBS}/{job_id}")
        again = client.get(f"{JOBS}/{job_id}", headers={"If-None-Match": first.headers["etag"]})

    assert first.headers["etag"] == f'W/"{first.json()["data"]["version"]}"'
    assert (again.status_code, again.content) == (304, b"")


def test_a_long_poll_is_held_until_the_job_changes(gateway):
    with gateway.client() as client:
        job_id = _new(client, prompt="[delay=5] held").json()["data"]["id"]
        wait_until(lambda: client.get(f"{JOBS}/{job_id}").json()["data"]["phase"] == "generating")
        begun = time.monotonic()
        seen = client.get(f"{JOBS}/{job_id}")
        held = client.get(f"{JOBS}/{job_id}?wait=60", headers={"If-None-Match": seen.headers["etag"]})
        took = time.monotonic() - begun

    assert held.status_code == 200
    assert held.json()["data"]["version"] > seen.json()["data"]["version"]
    assert 0.5 < took < 30


def test_the_same_idempotency_key_attaches_and_another_body_is_422(gateway, shared_simulator):
    key, prompt = str(uuid.uuid4()), f"once {uuid.uuid4()}"
    with gateway.client() as client:
        first = _new(client, {"Idempotency-Key": key}, prompt=prompt)
        through_face_0 = client.post(
            "/api/v1/agents/images", json={**FOX, "prompt": prompt}, headers={"Idempotency-Key": key}
        )
        other = _new(client, {"Idempotency-Key": key}, prompt="another")

    job_id = first.json()["data"]["id"]
    assert through_face_0.status_code == 200
    assert through_face_0.headers["x-job-id"] == job_id
    assert through_face_0.headers["idempotency-replayed"] == "true"
    assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert other.json()["error"]["details"]["jobId"] == job_id
    assert len(shared_simulator.bench.calls(prompt)) == 1


def test_another_orgs_job_is_not_found_by_any_verb(gateway):
    with gateway.client("acme") as ours, gateway.client("rival") as theirs:
        job_id = _new(ours, {"Prefer": "wait=20"}).json()["data"]["id"]

        for answer in (
            theirs.get(f"{JOBS}/{job_id}"),
            theirs.get(f"{JOBS}/{job_id}/result"),
            theirs.get(f"{JOBS}/{job_id}/content"),
            theirs.get(f"{JOBS}/{job_id}/events"),
            theirs.post(f"{JOBS}/{job_id}/cancel"),
            theirs.get(f"{JOBS}/job_unknown"),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


def test_the_list_is_paged_newest_first_and_filtered(gateway):
    with gateway.client("lister") as client:
        made = [
            _new(client, {"Prefer": "wait=20"}, clientReference=f"ref-{i}", metadata={"odd": str(i % 2)}).json()["data"]
            for i in range(5)
        ]
        newest_first = [job["id"] for job in reversed(made)]
        first = client.get(f"{JOBS}?limit=2").json()["data"]
        rest = client.get(f"{JOBS}?limit=10&cursor={first['cursor']}").json()["data"]
        by_reference = client.get(f"{JOBS}?clientReference=ref-3").json()["data"]["jobs"]
        odd = client.get(f"{JOBS}?metadata[odd]=1&status=succeeded").json()["data"]["jobs"]
        none = client.get(f"{JOBS}?createdAfter=2999-01-01T00:00:00Z").json()["data"]["jobs"]

    assert [j["id"] for j in first["jobs"] + rest["jobs"]] == newest_first
    assert rest["cursor"] is None
    assert [j["id"] for j in by_reference] == [made[3]["id"]]
    assert [j["id"] for j in odd] == [made[3]["id"], made[1]["id"]]
    assert none == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "cursor=zzz", "status=happy", "createdAfter=yesterday", "colour=red", "limit=1&limit=2"],
)
def test_a_query_that_cannot_be_meant_is_refused(gateway, query):
    with gateway.client() as client:
        answer = client.get(f"{JOBS}?{query}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_INPUT")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"n": 11}, "n"),
        ({"n": 0}, "n"),
        ({"steps": 151}, "steps"),
        ({"cancelAfter": 4}, "cancelAfter"),
        ({"startWithin": 0}, "startWithin"),
        ({"expiresAfter": 60}, "expiresAfter"),
        ({"priority": "urgent"}, "priority"),
        ({"onAmbiguous": "hope"}, "onAmbiguous"),
        ({"onAmbiguous": "retry", "maxCalls": 6}, "maxCalls"),
        ({"metadata": {str(i): "x" for i in range(17)}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"clientReference": "r" * 129}, "clientReference"),
        ({"cancelAftr": 30}, "cancelAftr"),
        ({"webhook": {"url": "http://example.com"}}, "webhook.url"),
        ({"provider": "midjourney"}, "provider"),
    ],
)
def test_an_option_out_of_bounds_is_refused_by_its_name(gateway, fields, field):
    with gateway.client("options") as client:
        answer = _new(client, **fields)

        assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, field)
        assert client.get(JOBS).json()["data"]["jobs"] == []


def test_a_job_tells_its_events_in_order(gateway):
    with gateway.client() as client:
        job_id = _new(client, {"Prefer": "wait=20"}).json()["data"]["id"]
        events = client.get(f"{JOBS}/{job_id}/events").json()["data"]

    types = [e["type"] for e in events]
    assert types == ["image.job.queued", "image.job.started", "image.job.checkpointed", "image.job.succeeded"]
    assert [e["sequence"] for e in events] == sorted({e["sequence"] for e in events})
    assert events[-1]["data"]["result"]["mimeType"] == "image/jpeg"
    assert "request" not in events[0]["data"]
