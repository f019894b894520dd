"""Base64 pictures lifted out of a JSON body before it is parsed: never copied, and what is left is small."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from typing import Final

from jobs.errors import PayloadTooLarge

LONG: Final = 32 * 1024
"""Strings below this stay where they are."""
MOST_LEFT: Final = 1024 * 1024
"""Bytes of a body apart from its pictures."""
_KEY: Final = re.compile(rb'"b64"[ \t\r\n]*:[ \t\r\n]*\Z')
_DATA_URL: Final = b"data:"
_BEFORE: Final = 64
"""Bytes before a value in which its key is looked for."""
_BACKSLASH: Final = ord("\\")


class Base64Text:
    """Base64 as it came: text, or the bytes of the body between two quotes."""

    def __init__(self, content: str | memoryview) -> None:
        self.content = content


def lift(body: bytearray) -> tuple[bytes, Mapping[str, memoryview]]:
    """The body with a name for each long picture (the value of a key `b64`, a `data:` URL), and what the names mean.

    A JSON parser would hold every other request up for as long as it copies tens of megabytes (it keeps the
    interpreter's lock), and would hold them three times over. What is no JSON stays none. Runs in a thread.
    Raises `PayloadTooLarge` when what is left is more than `MOST_LEFT`.
    """
    token, view = secrets.token_hex(8), memoryview(body)
    lifted: dict[str, memoryview] = {}
    parts: list[memoryview | bytes] = []
    done = at = left = 0
    while (start := body.find(b'"', at)) >= 0 and (end := _end(body, start)) >= 0:
        left += end + 1 - at
        if end - start > LONG and _holds_picture(body, start):
            left -= end - start
            name = f"{token}-{len(lifted)}"
            lifted[name] = _content(body, view, start, end)
            parts += [view[done : start + 1], name.encode()]
            done = end
        if left > MOST_LEFT:
            break
        at = end + 1
    if left + len(body) - at > MOST_LEFT:
        message = f"the body may have at most {MOST_LEFT} bytes apart from the pictures in it"
        raise PayloadTooLarge(message, limit=MOST_LEFT)
    parts.append(view[done:])
    return b"".join(parts), lifted


def _holds_picture(body: bytearray, start: int) -> bool:
    """Whether the string that begins at `start` is a `data:` URL, or the value of a key `b64`."""
    return body[start + 1 : start + 1 + len(_DATA_URL)].lower() == _DATA_URL or bool(
        _KEY.search(body[max(0, start - _BEFORE) : start])
    )


def _end(body: bytearray, start: int) -> int:
    """Where the string that begins at `start` ends; -1: nowhere."""
    end = body.find(b'"', start + 1)
    while end >= 0:
        slashes = 0
        while body[end - 1 - slashes] == _BACKSLASH:
            slashes += 1
        if slashes % 2 == 0:
            return end
        end = body.find(b'"', end + 1)
    return -1


def _content(body: bytearray, view: memoryview, start: int, end: int) -> memoryview:
    r"""What is between the quotes; some encoders write `\/` for `/`."""
    if body.find(b"\\", start, end) < 0:
        return view[start + 1 : end]
    try:
        return memoryview(str(json.loads(bytes(view[start : end + 1]))).encode())
    except ValueError:  # UnicodeError is one
        return view[start + 1 : end]
