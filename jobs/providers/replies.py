"""Reading a provider's words: what is of no use in them is passed over, and costs nothing that stands beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import pybase64

from jobs.model.picture import Usage

_FROM_URL_SAFE: Final = str.maketrans("-_", "+/", " \t\r\n")
"""Base64's URL-safe alphabet to the plain one, without white space."""
_MANY: Final = 10**12
"""More tokens than anybody counts."""
_PICTURES: Final = re.compile(rb'(?:"(?:b64_json|bytesBase64Encoded|data|url)"\s*:|[\[,])\s*"([^"]{24,})"')
"""Where a picture may stand on all wires that we know: in a member of such a name, or as an entry of a list."""


def each(value: Any) -> list[Any]:
    """The entries of a list; what stands where a list is usual is its only entry."""
    return value if isinstance(value, list) else [] if value is None else [value]


def member(value: Any, *names: str) -> Any:
    """The first member of an object that is there, by any of its spellings; None: none is, or it is no object."""
    found = (value.get(name) for name in names) if isinstance(value, dict) else iter(())
    return next((each for each in found if each is not None), None)


def words(value: Any) -> str | None:
    """A text, fit to be written anywhere: half a surrogate pair becomes a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def picture_bytes(text: Any) -> bytes | None:
    """The bytes behind base64 or a `data:` URL (RFC 2397), however it is spelt; None: it holds none.

    White space, a missing padding and the URL-safe alphabet are all taken.
    """
    if not isinstance(text, str):
        return None
    head, comma, rest = text.lstrip().partition(",") if text.lstrip()[:5].lower() == "data:" else ("", "", text)
    if comma and not head.lower().rstrip().endswith(";base64"):
        return unquote_to_bytes(rest) or None
    try:
        return pybase64.b64decode(rest, validate=True) or None
    except ValueError:
        return _otherwise(rest)


def hidden(raw: bytes) -> Iterator[bytes]:
    """Everything in a text that may be a picture: its JSON is broken, or a member of it stands there twice."""
    for found in _PICTURES.finditer(raw):
        data = picture_bytes(found[1].replace(b"\\/", b"/").replace(rb"\n", b"").decode("latin-1"))
        if data is not None:
            yield data


def count(value: Any) -> int | None:
    """A count of tokens: 12, 12.0 or "12"."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return int(number) if 0 <= number < _MANY and number.is_integer() else None


def usage(taken: int | None, put_out: int | None, total: int | None, **details: int | None) -> Usage:
    """Token counts of which one may be missing: in and out are the total."""
    if taken is not None and put_out is not None:
        total = taken + put_out
    elif total is not None and taken is not None and total >= taken:
        put_out = total - taken
    elif total is not None and put_out is not None and total >= put_out:
        taken = total - put_out
    return Usage(input_tokens=taken, output_tokens=put_out, total_tokens=total, **details)


def _otherwise(text: str) -> bytes | None:
    plain = text.translate(_FROM_URL_SAFE).rstrip("=")
    try:
        return pybase64.b64decode(plain + "=" * (-len(plain) % 4), validate=True) or None
    except ValueError:
        return None
