"""What every test may ask for: real neighbours, one of each a test process."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from app.simulator.server import Simulator, running_simulator
from jobs.clock import clock
from tests.neighbours.azurite import Azurite, running_azurite
from tests.neighbours.redis_server import RedisServer, running_redis


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a neighbour of their module run in one process: it is started once, not once a process."""
    for item in items:
        if isinstance(item, pytest.Function) and _shares_with_its_module(item):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


def _shares_with_its_module(item: pytest.Function) -> bool:
    found = item._fixtureinfo.name2fixturedefs.values()  # noqa: SLF001  # a scope has no public name
    return any(definition.scope == "module" for definitions in found for definition in definitions)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """What a test makes of logging in this process ends with it: its standard error is closed then."""
    yield
    structlog.reset_defaults()
    logging.basicConfig(force=True, level=logging.WARNING)


@pytest.fixture(autouse=True)
def _clock_as_before() -> Iterator[None]:
    """What a test's Redis says of the time ends with it."""
    before = clock._offset_ns  # noqa: SLF001  # the product never sets it back
    yield
    clock._offset_ns = before  # noqa: SLF001  # the same


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real Redis; its data lasts as long as the test process."""
    with running_redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty database of the real Redis."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """A real Azurite; skipped with the reason where it cannot be had."""
    with running_azurite() as server:
        yield server


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """The far ends, with an empty journal."""
    with running_simulator() as server:
        yield server


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[Simulator]:
    """The far ends, one journal a module."""
    with running_simulator() as simulator:
        yield simulator
