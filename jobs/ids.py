"""Names of things: unguessable, and in order of the time they were made."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from jobs.clock import clock

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: sorts like the number it spells."""


CELL: Final = "0"
"""The cell that new ids are of: a Redis with its workers. There is one; ids name it, so that none changes with more."""


def new_id(kind: str) -> str:
    """`{kind}_` + 10 characters of Unix milliseconds + one of the cell + 19 characters (95 bits) of chance."""
    return f"{kind}_{_spell(clock.now_ms(), 10)}{CELL}{_spell(secrets.randbits(95), 19)}"


def twin(own_id: str, kind: str) -> str:
    """The id of another kind for the same thing: they differ in nothing else."""
    return f"{kind}_{own_id.partition('_')[2]}"


def made_ms(own_id: str) -> int:
    """When the thing of an id of ours was made, in Unix milliseconds."""
    number = 0
    for letter in own_id.partition("_")[2][:10]:
        number = number * 32 + _ALPHABET.index(letter)
    return number


def org_of_one(person: str) -> str:
    """The org of somebody who signs in, by email or id in any case: of one, so that nobody else sees what is in it."""
    return f"u-{hashlib.sha256(person.lower().encode()).hexdigest()[:32]}"


def _spell(number: int, width: int) -> str:
    letters = []
    for _ in range(width):
        number, digit = divmod(number, 32)
        letters.append(_ALPHABET[digit])
    return "".join(reversed(letters))
