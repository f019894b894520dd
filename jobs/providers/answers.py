"""What a far end answered, as it came: JSON, events or a picture, whatever was asked for and whatever it is called."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from jobs.errors import ProviderError
from jobs.pictures.heads import kind_of
from jobs.providers.sse import events

_BLANK: Final = b" \t\r\n\0\xef\xbb\xbf"
"""What may stand before and after: white space, NULs, and the bytes of a byte order mark."""
_EVENTS: Final = re.compile(rb"(?:data|event|id|retry)?:")
_HEAD: Final = 12
"""Bytes by which the framings are told apart."""


class Document(Struct, frozen=True, kw_only=True):
    """A piece of an answer that can be read by itself.

    `value` is JSON; what `raw` has and it lacks was lost in reading it, and the first of several has it all.
    `name` and `streamed` are of events.
    """

    raw: bytes
    value: Any = None
    name: str = ""
    streamed: bool = False
    damaged: bool = False
    """It is not strict JSON: words of it were repaired, or all of them are lost."""
    media_type: str | None = None
    """Of the picture that it is; None: it is none."""
    cut: ProviderError | None = None
    """Why nothing more came; None: it is no end."""


async def documents(body: AsyncIterator[bytes]) -> AsyncIterator[Document]:
    """Everything that came, in its order, as soon as it is there; at its end the `ProviderError` that `body` raised."""
    failed: list[ProviderError] = []
    async for document in _documents(_until_cut(body, failed)):
        yield document
    for error in failed:
        yield Document(raw=b"", cut=error)


async def once(content: bytes) -> AsyncIterator[bytes]:
    """A body that is there already."""
    yield content


async def _documents(pieces: AsyncIterator[bytes]) -> AsyncIterator[Document]:
    head = b""
    async for piece in pieces:
        head += piece
        if len(head.lstrip(_BLANK)) >= _HEAD:
            break
    if _EVENTS.match(head.lstrip(_BLANK)):
        async for event in events(_after(head.lstrip(_BLANK), pieces)):
            if event.data != b"[DONE]":
                for document in _read(event.data):
                    yield msgspec.structs.replace(document, name=event.name, streamed=True)
        return
    for document in _read(b"".join([piece async for piece in _after(head, pieces)])):
        yield document


async def _until_cut(body: AsyncIterator[bytes], failed: list[ProviderError]) -> AsyncIterator[bytes]:
    try:
        async for piece in body:
            yield piece
    except ProviderError as error:
        failed.append(error)


async def _after(head: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for piece in pieces:
        yield piece


def _read(raw: bytes) -> list[Document]:
    """The documents of a body, or of an event: a list is as many."""
    kind = kind_of(raw[:1024])
    if kind is not None:
        return [Document(raw=raw, media_type=kind)]
    try:
        value, damaged = msgspec.json.decode(raw.strip(_BLANK)), False
    except (msgspec.DecodeError, ValueError, RecursionError):
        value, damaged = _repaired(raw), True
    if isinstance(value, list) and len(value) > 1:
        return [Document(raw=b"" if i else raw, value=v, damaged=damaged) for i, v in enumerate(value)]
    one = value[0] if isinstance(value, list) and value else value
    return [Document(raw=raw, value=one, damaged=damaged)]


def _repaired(raw: bytes) -> Any:
    """What is not strict JSON (RFC 8259) and can be read all the same: half surrogates, control characters, NaN.

    Bytes that are no UTF-8 become the replacement character. None: it cannot be read at all.
    """
    text = raw.strip(_BLANK).decode("utf-8", "replace")
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return value
