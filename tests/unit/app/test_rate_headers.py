"""What an API key has left, as its caller reads it."""

import pytest

from app.http.rate_headers import rate_headers
from jobs.access.rates import Allowance, Window

MINUTE, DAY = Window(60, 60), Window(1_000, 86_400)


def told(*left):
    return {name.decode(): value.decode() for name, value in rate_headers({"state": {"allowances": left}})}


def test_without_limits_nothing_is_said():
    assert rate_headers({}) == []
    assert told() == {}


def test_every_window_is_named_and_the_nearest_to_its_end_by_the_older_headers():
    left = Allowance(MINUTE, 59, 29.2), Allowance(DAY, 3, 86_000.0)

    assert told(*left) == {
        "ratelimit-policy": '"minute";q=60;w=60, "day";q=1000;w=86400',
        "ratelimit": '"minute";r=59;t=30, "day";r=3;t=86000',
        "x-ratelimit-limit": "1000",
        "x-ratelimit-remaining": "3",
        "x-ratelimit-reset": "86000",
    }


@pytest.mark.parametrize("seconds", [0.0, 0.4])
def test_a_window_that_ends_now_is_told_as_a_second(seconds):
    assert told(Allowance(MINUTE, 0, seconds))["x-ratelimit-reset"] == "1"
