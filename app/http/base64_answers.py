"""Answers with a job's pictures in base64, which is written piece by piece from the blob store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import pybase64
from anyio import CancelScope
from anyio.lowlevel import checkpoint
from litestar import MediaType, Response
from litestar.response import Stream

from app.services import AnyRequest, services
from jobs.model.picture import Image

if TYPE_CHECKING:
    from jobs.client.client import Jobs
    from jobs.client.pictures import PictureReader
    from jobs.model.job import Job

PIECE: Final = 3 * 64 * 1024
"""Bytes that are made base64 at a time: a multiple of three, so that the pieces join without padding."""
Piece = bytes | Image
"""A part of a body: bytes as they are, or the picture whose base64 stands there."""


async def base64_answer(request: AnyRequest, job: Job, body: Sequence[Piece], headers: dict[str, str]) -> Response[Any]:
    """A job's answer in JSON with at least one picture: it is delivered once the last byte has gone.

    The first bytes of the first picture are read before anything is sent: that it is gone is told by the status.
    """
    first = next((place for place, piece in enumerate(body) if isinstance(piece, Image)), -1)
    length = sum(len(piece) if isinstance(piece, bytes) else -(-piece.bytes // 3) * 4 for piece in body)
    pieces = written(services(request).pictures, body)
    begun = [await anext(pieces) for _ in range(first + 1)]
    return Stream(
        _delivering(services(request).jobs, job, begun, pieces),
        status_code=200,
        headers={"Content-Length": str(length), **headers},
        media_type=MediaType.JSON,
    )


async def written(pictures: PictureReader, body: Sequence[Piece]) -> AsyncIterator[bytes]:
    """The body, with the base64 of each picture in its place: never more than a piece of it in memory."""
    for piece in body:
        if isinstance(piece, bytes):
            yield piece
            continue
        left = b""
        async for data in pictures.stream(piece.blob, 0, piece.bytes):
            left += data
            whole = memoryview(left)[: len(left) // 3 * 3]
            for start in range(0, len(whole), PIECE):
                yield pybase64.b64encode(whole[start : start + PIECE])
            left = bytes(memoryview(left)[len(whole) :])
        yield pybase64.b64encode(left)


async def _delivering(
    jobs: Jobs, job: Job, begun: Sequence[bytes], pieces: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    try:
        await checkpoint()  # whoever left while the first of it was read is noticed here
        for piece in begun:
            yield piece
        async for piece in pieces:
            yield piece
    except BaseException:
        with CancelScope(shield=True):
            await jobs.caller_left(job)  # whoever asks the same again gets this job's pictures
        raise
    with CancelScope(shield=True):
        await jobs.result_taken(job)
