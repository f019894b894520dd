"""Server-sent events (WHATWG HTML, section 9.2) as a far end streams them: each with its name and its data, whole."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import Struct


class Event(Struct, frozen=True):
    """An event; `name` is what its `event:` line says, or nothing."""

    name: str
    data: bytes


async def events(pieces: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """Each event that has data; other fields and comments are passed over.

    The last event counts without the empty line that ends it, too: whether it is whole is seen by who reads it.
    """
    name, data = "", list[bytes]()
    async for line in _lines(pieces):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.strip().decode("utf-8", "replace")
        elif not line:
            if data:
                yield Event(name, b"\n".join(data))
            name, data = "", []
    if data:
        yield Event(name, b"\n".join(data))


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines without their ends (LF, CR or CR LF); each byte is copied once, however long the line of a picture is."""
    begun: list[bytes] = []
    after_cr = False
    async for piece in pieces:
        rest = piece.removeprefix(b"\n") if after_cr else piece
        after_cr = piece.endswith(b"\r")
        *ended, last = rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in ended:
            yield b"".join((*begun, line))
            begun = []
        begun.append(last)
    yield b"".join(begun)
