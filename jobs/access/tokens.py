"""What an API key looks like: a prefix to be found by, 256 bits of chance, and a checksum against misspelling."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

PREFIX: Final = "aigw_sk_"
_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHANCE: Final = 43
"""Base-62 digits: 43 of them are 256.03 bits."""
_CHECK: Final = 6
"""Base-62 digits that hold a CRC-32."""
_FORM: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_CHANCE + _CHECK}}}")


def new_token() -> str:
    """A new secret: `aigw_sk_` + 43 random characters + 6 of checksum, all of them letters and digits."""
    content = PREFIX + "".join(secrets.choice(_DIGITS) for _ in range(_CHANCE))
    return content + _checksum(content)


def well_formed(token: str) -> bool:
    """Whether it can be a key of ours at all. The checksum guards against slips, not against attackers."""
    return _FORM.fullmatch(token) is not None and _checksum(token[:-_CHECK]) == token[-_CHECK:]


def digest(token: str) -> str:
    """SHA-256 in hex: all that is kept of a key. A salt would add nothing to 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(content: str) -> str:
    number = zlib.crc32(content.encode())
    digits = []
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
