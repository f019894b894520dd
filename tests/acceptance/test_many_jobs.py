"""200 mixed jobs over two workers on a real Redis and a real Azurite: one to one from job to call to picture."""

import asyncio
import hashlib

import httpx
import pytest

from tests.neighbours.gateway import UNENDING, running_gateway

pytestmark = pytest.mark.anyio
KINDS = (
    {"provider": "azure-openai", "model": "gpt-image-2", "size": "1024x1024"},
    {"provider": "gemini", "model": "gemini-3.1-flash-image-preview"},
    {"provider": "openai", "model": "gpt-image-2", "size": "512x512"},
)


async def test_two_hundred_jobs_end_once_each_with_the_bytes_of_their_own_call(redis_url, azurite, simulator):
    simulator.bench.jitter = 0.6
    storage = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string, "AZURE_STORAGE_CONTAINER": "many"}
    with running_gateway(redis_url, simulator, workers=2, **storage) as gateway:
        async with gateway.async_client() as client, httpx.AsyncClient(limits=UNENDING) as stranger:

            async def one(number):
                delay = "" if number % 2 else " [delay=0.01]"
                body = {**KINDS[number % 3], "prompt": f"picture {number}.{delay}"}
                made = await client.post("/api/v1/jobs", json=body)
                job_id = made.json()["data"]["id"]
                job = (await client.get(f"/api/v1/jobs/{job_id}?wait=60&until=terminal")).json()["data"]
                picture = await stranger.get(job["result"]["url"])
                return job, hashlib.sha256(picture.content).hexdigest()

            done = await asyncio.gather(*(one(number) for number in range(200)))

    calls = simulator.bench.calls()
    by_request = {c["client_request_id"]: c["pictures"] for c in calls}
    assert {job["status"] for job, _ in done} == {"succeeded"}
    assert len(calls) == len(by_request) == 200
    assert {job["requestId"]: [sha256] for job, sha256 in done} == by_request
    assert len({sha256 for _, sha256 in done}) == 200
