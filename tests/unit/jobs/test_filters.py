"""Which jobs a list shows: those that pass every filter, and no others."""

import pytest

from jobs.model.filters import Filters
from jobs.model.job import Status
from tests.jobs import new_job

PLAIN = new_job()
MARKED = new_job(client_reference="r", idempotency_key="k", batch_id="bat_1", metadata={"a": "1", "b": "2"})
MS = MARKED.created_ms


@pytest.mark.parametrize(
    "fields",
    [
        {"provider": "gemini"},
        {"model": "m"},
        {"client_reference": "r"},
        {"idempotency_key": "k"},
        {"batch_id": "bat_1"},
        {"metadata": {"a": "1"}},
        {"status": frozenset({Status.QUEUED})},
        {"created_after_ms": MS - 1, "created_before_ms": MS + 1},
        {"client_reference": "r", "idempotency_key": "k", "batch_id": "bat_1", "metadata": {"b": "2"}},
    ],
)
def test_a_job_that_is_as_each_filter_says_is_shown(fields):
    assert Filters(**fields).match(MARKED)


@pytest.mark.parametrize(
    "fields",
    [
        {"provider": "openai"},
        {"model": "gemini"},
        {"client_reference": "x"},
        {"idempotency_key": "x"},
        {"batch_id": "x"},
        {"metadata": {"a": "2"}},
        {"status": frozenset({Status.RUNNING})},
        {"created_after_ms": MS + 60_000},
        {"created_before_ms": MS - 60_000},
        {"provider": "gemini", "client_reference": "x"},
    ],
)
def test_a_job_that_is_not_is_left_out_whether_it_has_another_value_or_none(fields):
    assert not Filters(**fields).match(PLAIN)
    assert not Filters(**fields).match(MARKED)


def test_without_a_filter_every_job_is_shown():
    assert Filters().match(PLAIN)
    assert Filters().match(MARKED)
