"""Estimates: what is told of times that nobody knows yet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jobs.client.estimates import MAX_DONE, Percentiles, done, measured, start
from jobs.store.position import QueuePosition

CALL = Percentiles(10.0, 20.0)
IDLE = QueuePosition(
    ahead=0,
    orgs=1,
    slots=4,
    running=0,
    org_running=0,
    org_limit=None,
    provider_running=0,
    provider_limit=None,
    shut_ms=0,
)
BUSY = replace(IDLE, running=4, org_running=4, provider_running=4)


def test_four_calls_say_nothing_and_five_tell_the_middle_and_the_ninth_of_ten():
    assert measured([1_000] * 4) is None
    assert measured([1_000, 2_000, 3_000, 4_000, 5_000]) == Percentiles(3.0, 5.0)


def test_the_last_calls_weigh_more_than_those_before_them():
    slowed_down = [40_000] * 10 + [10_000] * 20

    assert measured(slowed_down) == Percentiles(40.0, 40.0)
    assert measured(slowed_down[::-1]) == Percentiles(10.0, 40.0)
    assert measured([40_000] * 3 + [10_000] * 197) == Percentiles(10.0, 40.0)


@pytest.mark.parametrize(
    ("position", "seconds"),
    [
        (IDLE, 0),
        (replace(IDLE, ahead=3), 0),
        (replace(IDLE, ahead=4), 2.5),
        (BUSY, 2.5),
        (replace(BUSY, ahead=7), 20),
        (replace(BUSY, ahead=7, orgs=2), 40),
        (replace(IDLE, ahead=7, orgs=2), 10),
        (replace(IDLE, ahead=3, org_limit=2), 10),
        (replace(IDLE, ahead=3, org_running=2, org_limit=2), 20),
        (replace(IDLE, ahead=3, provider_limit=1), 30),
        (replace(IDLE, ahead=3, org_limit=2, provider_limit=1), 30),
        (replace(IDLE, org_running=5, org_limit=2), 5),
    ],
)
def test_a_start_is_as_many_calls_away_as_have_to_end_first_shared_by_the_least_that_serves(position, seconds):
    assert start(position, CALL, 0) == Percentiles(seconds, 2 * seconds)


def test_what_is_held_back_starts_later_by_as_much():
    assert start(IDLE, CALL, 7.5) == Percentiles(7.5, 7.5)


@pytest.mark.parametrize("position", [replace(IDLE, slots=0), replace(IDLE, org_limit=0)])
def test_what_nobody_serves_has_no_start(position):
    assert start(position, CALL, 0) is None


@pytest.mark.parametrize(
    ("place", "throttled"),
    [
        (BUSY, False),
        (replace(BUSY, org_limit=5, provider_limit=5), False),
        (replace(BUSY, org_limit=4), True),
        (replace(BUSY, provider_limit=4), True),
        (replace(IDLE, shut_ms=1), True),
    ],
)
def test_a_job_is_throttled_by_its_org_or_its_provider_and_not_by_busy_workers(place, throttled):
    assert place.throttled is throttled


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e4))
def test_progress_that_is_estimated_only_grows_and_never_arrives(earlier, later, p50):
    typical = Percentiles(p50, p50)

    assert 0 <= done(min(earlier, later), typical) <= done(max(earlier, later), typical) <= MAX_DONE < 1


def test_a_call_that_has_taken_its_typical_time_is_nearly_done():
    assert done(0, CALL) == 0
    assert 0.7 < done(10, CALL) < 0.8
