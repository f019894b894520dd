from collections.abc import Iterator

import pytest

from app.simulator.server import Simulator
from tests.neighbours.gateway import Gateway, running_gateway
from tests.neighbours.redis_server import running_redis

AGENTS = "/api/v1/agents/images"
JOBS = "/api/v1/jobs"
MUG = {
    "provider": "azure-openai",
    "model": "gpt-image-2",
    "prompt": "Studio photo of a small ceramic mug, soft morning light",
    "size": "1024x1024",
    "quality": "high",
}


@pytest.fixture(scope="module")
def gateway(shared_simulator: Simulator) -> Iterator[Gateway]:
    """One gateway a module, on a Redis and a far end of its own."""
    with running_redis() as redis, running_gateway(redis.url, shared_simulator) as running:
        yield running
