"""Server-sent events (WHATWG HTML, section 9.2) as a far end streams them: the data of each, whole."""

from __future__ import annotations

from collections.abc import AsyncIterator


async def data_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of each event, whose other fields and comments are passed over.

    The last event counts without the empty line that ends it, too: whether it is whole is seen by who reads it.
    """
    data: list[bytes] = []
    async for line in _lines(pieces):
        if line.startswith(b"data:"):
            data.append(line.removeprefix(b"data:").removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data)
            data = []
    if data:
        yield b"\n".join(data)


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines without their ends (LF or CR LF); each byte is copied once, however long the line of a picture is."""
    begun: list[bytes] = []
    async for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for line in ended:
            yield b"".join((*begun, line)).removesuffix(b"\r")
            begun = []
        begun.append(rest)
    yield b"".join(begun).removesuffix(b"\r")
