"""Base64 pictures lifted out of a JSON body before it is parsed: never copied, and what is left is small."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Final

from jobs.errors import InvalidInput, PayloadTooLarge

LONG: Final = 32 * 1024
"""Strings below this stay where they are."""
MAX_BYTES_BESIDE_PICTURES: Final = 1024 * 1024
"""Bytes of a body apart from its pictures."""
MAX_VALUES: Final = 40_000
"""More than 500 items of a batch have with every field that there is."""
_KEY: Final = re.compile(rb'"(?:b64|result)"[ \t\r\n]*:[ \t\r\n]*\Z')
_DATA_URL: Final = b"data:"
_PICTURES: Final = (b"iVBORw0KGgo", b"/9j/", rb"\/9j\/", b"UklGR")
"""How the base64 of a PNG, a JPEG (which some encoders write with escapes) and a WebP begins."""
_HEAD: Final = 16
"""Bytes by which a string is seen to be a picture."""
_BEFORE: Final = 64
"""Bytes before a value in which its key is looked for."""
_BACKSLASH: Final = ord("\\")
_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
"""The rest of a string behind its first quote; possessive, so that it takes neither memory nor a second try."""
_PIECE: Final = 256 * 1024
_MAX_ESCAPE_LENGTH: Final = 6


class Base64Text:
    """Base64 as it came: text, or the bytes of the body between two quotes."""

    def __init__(self, content: str | memoryview) -> None:
        self.content = content


def lift(body: bytearray) -> tuple[bytes, Mapping[str, memoryview]]:
    """The body with a name for each long picture, and what the names mean.

    One is the value of a key `b64` or `result`, a `data:` URL, or what begins as the base64 of a picture does.

    A JSON parser would hold every other request up for as long as it copies tens of megabytes (it keeps the
    interpreter's lock), and would hold them three times over. What is no JSON stays none. Runs in a thread.
    Raises `PayloadTooLarge` when what is left is more than `MAX_BYTES_BESIDE_PICTURES`, `InvalidInput` when it holds
    more than `MAX_VALUES`.
    """
    token, view = secrets.token_hex(8), memoryview(body)
    lifted: dict[str, memoryview] = {}
    parts: list[memoryview | bytes] = []
    between = bytearray()
    done = at = left = 0
    for strings, (start, end) in enumerate(_strings(body)):
        between += view[at:start]
        left += end + 1 - at
        if end - start > LONG and _holds_picture(body, start):
            left -= end - start
            name = f"{token}-{len(lifted)}"
            lifted[name] = _content(body, view, start, end)
            parts += [view[done : start + 1], name.encode()]
            done = end
        _check_room(left, strings // 2)  # every other one may be a name
        at = end + 1
    _check_room(left + len(body) - at, 0)
    _check_room(left, _values(between + view[at:]))
    parts.append(view[done:])
    return b"".join(parts), lifted


def _check_room(left: int, values: int) -> None:
    if left > MAX_BYTES_BESIDE_PICTURES:
        message = f"the body may have at most {MAX_BYTES_BESIDE_PICTURES} bytes apart from the pictures in it"
        raise PayloadTooLarge(message, limit=MAX_BYTES_BESIDE_PICTURES)
    if values > MAX_VALUES:
        raise InvalidInput(f"the body holds more than {MAX_VALUES} values")


def _values(between: bytearray) -> int:
    """How many values there are at most: each has a comma or an opening bracket before it."""
    return between.count(b",") + between.count(b"[") + between.count(b"{")


def _strings(body: bytearray) -> Iterator[tuple[int, int]]:
    """Where each string begins and ends: the places of its quotes. Ends at one that has no end."""
    start = body.find(b'"')
    while start >= 0 and (end := _end(body, start)) >= 0:
        yield start, end
        start = body.find(b'"', end + 1)


def _holds_picture(body: bytearray, start: int) -> bool:
    """Whether the string at `start` is a `data:` URL, a picture's base64, or the value of a key `b64` or `result`."""
    head = body[start + 1 : start + 1 + _HEAD]
    by_itself = head[: len(_DATA_URL)].lower() == _DATA_URL or head.startswith(_PICTURES)
    return by_itself or bool(_KEY.search(body[max(0, start - _BEFORE) : start]))


def _end(body: bytearray, start: int) -> int:
    """Where the string that begins at `start` ends; -1: nowhere, or too far away for a string that is no picture.

    Only a string with an escaped quote in it, which base64 has not, is looked at byte by byte.
    """
    end = body.find(b'"', start + 1)
    if end < 0 or body[end - 1] != _BACKSLASH:
        return end
    found = _REST.match(body, start + 1, start + 1 + MAX_BYTES_BESIDE_PICTURES)
    return found.end() - 1 if found else -1


def _content(body: bytearray, view: memoryview, start: int, end: int) -> memoryview:
    r"""What is between the quotes; some encoders write `\/` for `/`, or `\u002B` for `+`."""
    if body.find(b"\\", start, end) < 0:
        return view[start + 1 : end]
    try:
        return memoryview(b"".join(_unescaped(body, start + 1, end)))
    except ValueError:  # UnicodeError is one
        return view[start + 1 : end]


def _unescaped(body: bytearray, start: int, end: int) -> Iterator[bytes]:
    """The string in pieces, each of which keeps the interpreter's lock for a moment only. Raises `ValueError`."""
    while start < end:
        stop = min(start + _PIECE, end)
        if stop < end and (escape := body.rfind(b"\\", stop - _MAX_ESCAPE_LENGTH, stop)) >= 0:
            stop = escape  # base64 has no backslash of its own: each begins an escape
        yield str(json.loads(b'"' + body[start:stop] + b'"')).encode()
        start = stop
