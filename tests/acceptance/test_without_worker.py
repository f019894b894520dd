"""What holds while no worker lives: nothing is lost, deadlines are kept, and the queue can be left."""

import time

import pytest

from tests.neighbours.gateway import running_gateway

FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox"}


@pytest.fixture
def lonely(redis_url, simulator):
    with running_gateway(redis_url, simulator, workers=0, DARKROOM_WAIT_SECONDS="1") as gateway:
        yield gateway


def test_a_plain_wait_that_ends_is_504_with_the_jobs_address_and_a_worker_finishes_it_later(lonely, simulator):
    with lonely.client() as client:
        answer = client.post("/api/v1/agents/images", json=FOX)
        details = answer.json()["error"]["details"]

        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "TIMEOUT")
        assert details["reason"] == "wait_expired"
        assert answer.headers["location"] == details["statusUrl"]
        assert answer.headers["x-job-id"] == details["jobId"]
        assert "retry-after" in answer.headers
        lonely.start_worker()
        job = client.get(f"{details['statusUrl']}?wait=30&until=terminal").json()["data"]
    assert job["status"] == "succeeded"
    assert len(simulator.bench.calls()) == 1


def test_a_queued_job_can_be_canceled_and_is_never_billed(lonely, simulator):
    with lonely.client() as client:
        job_id = client.post("/api/v1/jobs", json=FOX).json()["data"]["id"]
        queued = client.get(f"/api/v1/jobs/{job_id}").json()["data"]
        canceled = client.post(f"/api/v1/jobs/{job_id}/cancel")
        result = client.get(f"/api/v1/jobs/{job_id}/result")
        again = client.post(f"/api/v1/jobs/{job_id}/cancel")

        assert queued["queue"] == {"position": 1, "ahead": 0}
        assert canceled.json()["data"]["status"] == "canceled"
        assert canceled.json()["data"]["cancel"]["outcome"] == "prevented"
        assert (result.status_code, result.json()["error"]["code"]) == (409, "JOB_CANCELED")
        assert again.json()["data"]["version"] == canceled.json()["data"]["version"]
        lonely.start_worker()
        other_id = client.post("/api/v1/jobs", json=FOX).json()["data"]["id"]
        other = client.get(f"/api/v1/jobs/{other_id}?wait=20&until=terminal").json()["data"]
    assert other["status"] == "succeeded"
    assert [c["client_request_id"] for c in simulator.bench.calls()] == [other["requestId"]]


def test_a_job_past_its_start_deadline_expires_when_it_is_read(lonely):
    with lonely.client() as client:
        job_id = client.post("/api/v1/jobs", json={**FOX, "startWithin": 1}).json()["data"]["id"]
        time.sleep(1.2)
        job = client.get(f"/api/v1/jobs/{job_id}").json()["data"]
        result = client.get(f"/api/v1/jobs/{job_id}/result")

    assert (job["status"], job["billing"]["state"], job["billing"]["providerCalls"]) == ("expired", "none", 0)
    assert (result.status_code, result.json()["error"]["details"]["reason"]) == (504, "deadline")


def test_too_many_ahead_is_429_with_when_to_come_back(lonely):
    with lonely.client() as client:
        for _ in range(3):
            client.post("/api/v1/jobs", json=FOX)
        answer = client.post("/api/v1/jobs", json={**FOX, "maxQueuePosition": 1})

    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "QUEUE_FULL")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_provider_without_its_key_is_503_naming_the_variable(redis_url, simulator):
    with running_gateway(redis_url, simulator, workers=0, GOOGLE_API_KEY="") as gateway, gateway.client() as client:
        answer = client.post("/api/v1/agents/images", json=FOX)

    error = answer.json()["error"]
    assert (answer.status_code, error["details"]["reason"]) == (503, "provider_unconfigured")
    assert "GOOGLE_API_KEY" in error["message"]
