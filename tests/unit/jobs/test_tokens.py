"""What an API key looks like."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.access.tokens import PREFIX, digest, new_token, well_formed

ALPHABET = string.ascii_letters + string.digits
KEY = PREFIX + "0" * 43 + "48w6w2"


def test_a_new_key_has_the_prefix_256_bits_of_chance_and_holds_its_checksum():
    made = {new_token() for _ in range(200)}

    assert len(made) == 200
    assert all(token.startswith(PREFIX) and len(token) == 57 and well_formed(token) for token in made)
    assert set("".join(token.removeprefix(PREFIX) for token in made)) == set(ALPHABET)
    assert len(ALPHABET) ** 43 > 2**256


@given(place=st.integers(len(PREFIX), 56), letter=st.sampled_from(ALPHABET))
def test_one_wrong_letter_is_seen(place, letter):
    token = new_token()
    changed = token[:place] + letter + token[place + 1 :]

    assert well_formed(changed) == (changed == token)


@given(place=st.integers(len(PREFIX), 55))
def test_two_letters_that_changed_places_are_seen(place):
    token = new_token()
    swapped = token[:place] + token[place + 1] + token[place] + token[place + 2 :]

    assert well_formed(swapped) == (swapped == token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        PREFIX,
        PREFIX + "A" * 49,
        PREFIX + "ä" * 49,
        PREFIX + "٣" * 49,
        KEY[:-1],
        KEY + "A",
        KEY + "\n",
        " " + KEY,
        KEY.upper(),
        KEY.replace(PREFIX, "sk_"),
    ],
)
def test_what_is_no_key_of_ours_is_told_without_a_look_up(token):
    assert not well_formed(token)


def test_the_checksum_stays_what_it_is_so_that_keys_outlive_releases():
    assert well_formed(KEY)
    assert digest(PREFIX) == "644b4267b1dd06cec2221515bd99490771abfb13628fbda1f7c1544cbe47475b"
