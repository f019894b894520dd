"""Strict JSON: each refusal names its place, also where what was sent cannot be named as it is."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.http.json_body import MAX_DEPTH, parse
from jobs.errors import InvalidInput

TEXT = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=20)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


def refused(body):
    with pytest.raises(InvalidInput) as caught:
        parse(body.encode())
    msgspec.json.encode([caught.value.message, caught.value.details])  # an answer can be made of it
    return caught.value.details.get("field")


@settings(deadline=None)
@given(value=st.dictionaries(TEXT, PLAIN, max_size=4))
def test_what_is_sound_is_read_as_it_is(value):
    assert parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (r'{"a": "\ud83d"}', "a"),
        (r'{"a": [1, {"b": ["x", "\u0000"]}]}', "a[1].b[1]"),
        (r'{"a": {"b": 1, "\udc00": 2}}', "a.?"),
        (r'{"\u0000": 1}', "?"),
        (r'{"a": 1, "b": {"c": 1, "c": 2}}', "c"),
        (r'{"\ud83d": 1, "\ud83d": 2}', "?"),
        ('{"%s": ["\\ud83d"]}' % ("n" * 1_000), "n" * 200),
    ],
)
def test_a_refusal_names_the_place(body, field):
    assert refused(body) == field


def test_a_name_that_is_repeated_among_many_is_found():
    names = ",".join(f'"{n}": 1' for n in range(30_000))

    assert refused(f'{{{names}, "29999": 1}}') == "29999"


@pytest.mark.parametrize(
    ("depth", "sound"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (900, False), (200_000, False)]
)
@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_nesting_is_bounded(depth, sound, opening, closing):
    body = '{"a":' + opening * (depth - 1) + "1" + closing * (depth - 1) + "}"

    if sound:
        assert parse(body.encode())
    else:
        refused(body)
