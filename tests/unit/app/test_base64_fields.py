"""Base64 lifted out of JSON: what is left means the same, whatever strings, escapes and brackets stand in it."""

import base64
import contextlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.http.base64_fields import LONG, MAX_BYTES_BESIDE_PICTURES, MAX_VALUES, lift
from jobs.errors import InvalidInput, PayloadTooLarge

PICTURE = base64.b64encode(bytes(range(256)) * 400).decode()
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ['"', "\\", '\\"', "\\\\", '"b64":', "a" * 40_000, '\\"' * 20_000, "\\" * 40_000, "[,{" * 20, PICTURE]
)
VALUES = st.recursive(
    st.none()
    | st.integers()
    | TEXT
    | st.just({"b64": PICTURE})
    | st.sampled_from([f"iVBORw0KGgo{PICTURE}", f"/9j/{PICTURE}"])
    | st.just({"image_url": f"data:image/png;base64,{PICTURE}"}),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def restored(value, lifted):
    """The value with the pictures where their names stand."""
    if isinstance(value, dict):
        return {name: restored(inner, lifted) for name, inner in value.items()}
    if isinstance(value, list):
        return [restored(inner, lifted) for inner in value]
    return bytes(lifted[value]).decode() if isinstance(value, str) and value in lifted else value


@settings(deadline=None)
@given(value=VALUES, ascii_only=st.booleans())
def test_what_is_left_and_what_was_lifted_are_what_was_sent(value, ascii_only):
    body = json.dumps(value, ensure_ascii=ascii_only).encode()

    left, lifted = lift(bytearray(body))

    assert restored(json.loads(left), lifted) == value
    assert len(left) <= MAX_BYTES_BESIDE_PICTURES


@pytest.mark.parametrize("head", ["iVBORw0KGgo", "/9j/", r"\/9j\/", "UklGR"])
def test_base64_that_begins_as_a_picture_is_lifted_whatever_key_it_has(head):
    body = f'{{"images": ["{head}{PICTURE}"]}}'.encode()

    left, lifted = lift(bytearray(body))

    assert len(left) < 100
    assert [bytes(picture).decode() for picture in lifted.values()] == [head.replace("\\", "") + PICTURE]


@pytest.mark.parametrize(
    ("plain", "escaped"), [("/", r"\/"), ("+", r"\u002B"), ("+", r"\u002b"), ("=", r"\u003D"), ("A", r"\u0041")]
)
@pytest.mark.parametrize("before", range(7))
def test_base64_as_other_serializers_escape_it_is_lifted_wherever_its_escapes_fall(plain, escaped, before):
    content = "A" * before + "AAA+/=" * 100_000
    body = f'{{"b64": "{content.replace(plain, escaped)}"}}'.encode()

    left, lifted = lift(bytearray(body))

    assert len(left) < 100
    assert [bytes(picture).decode() for picture in lifted.values()] == [content]


def test_a_string_with_an_escaped_quote_in_it_is_no_picture():
    with pytest.raises(PayloadTooLarge):
        lift(bytearray(b'{"b64": "' + rb"\"" * MAX_BYTES_BESIDE_PICTURES + b'"}'))


@pytest.mark.parametrize("piece", [b"[],", b"{},", b'"",', b"1,", b'{"a":1},'])
def test_more_values_than_a_batch_has_are_refused(piece):
    with pytest.raises(InvalidInput, match="values"):
        lift(bytearray(b'{"a": [' + piece * (2 * MAX_VALUES + 2) + b"1]}"))


def test_as_many_values_as_a_batch_may_have_are_taken():
    body = json.dumps({"items": [dict.fromkeys(map(str, range(70)), 1)] * 500}).encode()

    left, _ = lift(bytearray(body))

    assert left == body


@pytest.mark.parametrize("piece", [rb"\"", rb"\\", rb"\/", rb"\u002B", b"a", b'"",', b'{"b64":"'])
def test_fifty_megabytes_made_to_be_slow_take_no_seconds(piece):
    body = bytearray(b'{"b64": "' + piece * (50_000_000 // len(piece)) + b'"}')
    before = time.thread_time()  # this thread's own: other work on the machine does not count

    with contextlib.suppress(PayloadTooLarge, InvalidInput):
        lift(body)

    assert time.thread_time() - before < 2
    assert len(body) > LONG
