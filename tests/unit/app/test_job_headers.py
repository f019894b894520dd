"""Headers that say how a job is to be run and answered."""

import pytest

from app.http.job_headers import (
    Preference,
    applied,
    client_reference,
    idempotency_key,
    options_from_headers,
    preference,
)
from jobs.errors import InvalidInput
from jobs.model.job import Options
from tests.unit.app.requests import request


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("", None),
        ("return=minimal", None),
        ("respond-async", 0),
        ("wait=7", 7),
        ("WAIT=7", 7),
        ("wait=7200", 120),
        ("wait=99999999999", 120),
        ("respond-async, wait=3", 3),
        ("handling=lenient,respond-async", 0),
    ],
)
def test_a_preference_is_read_and_bounded(header, wait):
    assert preference(request(prefer=header), 120) == Preference(wait)


@pytest.mark.parametrize("header", ["wait=", "wait=soon", "wait=-1", "wait=1.5", "wait", '"wait=5', 'x="wait=5, y"'])
def test_a_wait_that_is_no_number_is_passed_over(header):
    assert preference(request(prefer=header), 120) == Preference(None)


@pytest.mark.parametrize(("wait", "told"), [(None, {}), (0, "respond-async"), (5, "wait=5")])
def test_what_was_heeded_is_said(wait, told):
    assert applied(Preference(wait)) == (told and {"Preference-Applied": told})


def test_options_without_headers_are_the_defaults():
    assert options_from_headers(request()) == Options()


def test_every_option_has_its_header():
    told = {
        "x_job_priority": "high",
        "x_start_timeout": "90s",
        "cancel_after": "5m",
        "x_max_queue_position": "0",
        "x_on_ambiguous": "retry",
        "x_max_calls": "3",
        "x_expires_after": "1h",
    }

    assert options_from_headers(request(**told)) == Options(
        priority="high",
        start_within=90,
        cancel_after=300,
        max_queue_position=0,
        on_ambiguous="retry",
        max_calls=3,
        expires_after=3_600,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Job-Priority", "urgent"),
        ("X-Start-Timeout", "0"),
        ("X-Start-Timeout", "soon"),
        ("Cancel-After", "4"),
        ("Cancel-After", "25h"),
        ("Cancel-After", "1d"),
        ("X-Max-Queue-Position", "-1"),
        ("X-Max-Queue-Position", "12345678"),
        ("X-On-Ambiguous", "hope"),
        ("X-Max-Calls", "0"),
        ("X-Max-Calls", "6"),
        ("X-Expires-After", "3599"),
    ],
)
def test_an_option_out_of_bounds_is_refused_by_its_header(name, value):
    with pytest.raises(InvalidInput) as refused:
        options_from_headers(request(**{name.lower().replace("-", "_"): value}))

    assert refused.value.details["field"] == name


@pytest.mark.parametrize("key", ["a", "a b", "~" * 255])
def test_an_idempotency_key_is_printable(key):
    assert idempotency_key(request(idempotency_key=key)) == key


@pytest.mark.parametrize("key", ["", " a", "a ", "a\tb", "é", "a" * 256])
def test_another_idempotency_key_is_refused(key):
    with pytest.raises(InvalidInput) as refused:
        idempotency_key(request(idempotency_key=key))

    assert refused.value.details["field"] == "Idempotency-Key"


@pytest.mark.parametrize("reference", ["", "x" * 129])
def test_a_client_reference_is_bounded(reference):
    assert client_reference(None, "clientReference") is None
    assert client_reference("x" * 128, "clientReference") == "x" * 128
    with pytest.raises(InvalidInput):
        client_reference(reference, "clientReference")
