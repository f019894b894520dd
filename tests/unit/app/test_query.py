"""Query strings: each parameter known, once, and in its form."""

import pytest

from app.http.query import instant, known_id, number, only_query, page
from jobs.errors import InvalidInput, NotFound
from jobs.ids import new_id
from tests.unit.app.requests import request

KNOWN = frozenset({"limit", "cursor"})


def test_known_parameters_are_read_decoded():
    told = request(query="limit=5&cursor=a%20b&metadata[k]=v")

    assert only_query(told, KNOWN, "metadata[") == {"limit": "5", "cursor": "a b", "metadata[k]": "v"}


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=1&limit=2", "limit"), ("limits=1", "limits"), ("metadata[k=1", "metadata[k"), (f"{'x' * 99}=1", "x" * 64)],
)
def test_what_is_not_known_or_given_twice_is_refused_by_name(query, field):
    with pytest.raises(InvalidInput) as refused:
        only_query(request(query=query), KNOWN, "metadata[")

    assert refused.value.details["field"] == field


@pytest.mark.parametrize("value", ["", "-1", "1.5", "0", "\u0661", "1e3", " 1"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InvalidInput) as refused:
        number({"limit": value}, "limit", 20)

    assert refused.value.details["field"] == "limit"


def test_a_page_is_bounded_and_has_a_default():
    cursor = new_id("job")

    assert page({}, "job") == (None, 20)
    assert page({"limit": "999", "cursor": cursor}, "job") == (cursor, 100)
    assert page({"limit": "1234567"}, "job") == (None, 100)


@pytest.mark.parametrize("cursor", ["", "job_", f"bat_{'0' * 30}", f"job_{'0' * 29}", f"job_{'0' * 30}\n"])
def test_a_cursor_of_another_form_is_refused(cursor):
    with pytest.raises(InvalidInput):
        page({"cursor": cursor}, "job")


def test_an_id_of_another_form_is_not_found():
    own = new_id("job")

    assert known_id(own, "job", "job") == own
    with pytest.raises(NotFound, match="no such job"):
        known_id(own.upper(), "job", "job")


def test_an_instant_is_unix_milliseconds():
    assert instant(None, "createdAfter") is None
    assert instant("1970-01-01T00:00:01.5Z", "createdAfter") == 1_500


@pytest.mark.parametrize("value", ["", "yesterday", "2026-13-01T00:00:00Z", "9999999999"])
def test_what_is_no_instant_is_refused_by_name(value):
    with pytest.raises(InvalidInput) as refused:
        instant(value, "createdAfter")

    assert refused.value.details["field"] == "createdAfter"
