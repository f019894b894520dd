"""The clock by which jobs go."""

import time

import pytest

from jobs.clock import Clock

SECOND = 1_000_000_000


def said(clock, seconds_ahead, *, took=0.0):
    """Redis says a time that many seconds ahead of the host's, `took` seconds after it was asked."""
    asked_ns = time.monotonic_ns() - round(took * SECOND)
    clock.correct(time.time_ns() + round(seconds_ahead * SECOND), asked_ns)


@pytest.mark.parametrize("seconds", [-1_200, -3, 3, 1_200])
def test_a_host_that_is_off_goes_by_redis(seconds):
    clock = Clock()

    said(clock, seconds)

    assert clock.now_ms() == pytest.approx(time.time() * 1000 + seconds * 1000, abs=500)


@pytest.mark.parametrize("seconds", [-0.4, 0.4])
def test_a_host_that_is_nearly_right_is_left_alone(seconds):
    clock = Clock()
    before = clock.now_ms()

    said(clock, seconds)

    assert clock.now_ms() - before < 200


def test_an_answer_that_took_long_corrects_no_more_than_is_certain():
    clock = Clock()

    said(clock, -10, took=9.5)

    assert clock.now_ms() == pytest.approx(time.time() * 1000, abs=500)


def test_a_clock_that_was_corrected_is_not_corrected_again():
    clock = Clock()
    said(clock, 1_200)
    before = clock.now_ms()

    said(clock, 1_200)

    assert clock.now_ms() - before < 200
