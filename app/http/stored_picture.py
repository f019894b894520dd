"""A picture of the blob store as an answer: its type, its tag, and the part of it that is asked for (`Range`)."""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import Final

from litestar import Response
from litestar.response import Stream

from app.http.entity_tags import unchanged
from app.services import AnyRequest, services


async def stored_picture(request: AnyRequest, name: str, headers: dict[str, str]) -> Response[bytes] | Stream:
    """The blob of that name, or with `Range` (RFC 9110 section 14) a part of it. Raises `BlobMissing`."""
    pictures = services(request).pictures
    info = await pictures.info(name)
    headers = {
        "ETag": info.etag,
        "Last-Modified": formatdate(info.modified_ms / 1000, usegmt=True),
        "Accept-Ranges": "bytes",
        **_HEADERS,
        **headers,
    }
    if unchanged(request.headers.get("if-none-match"), info.etag):
        return Response(b"", status_code=304, headers=headers)
    part = _part(request.headers.get("range"), info.size)
    if part is None:
        unfit = {**headers, "Content-Range": f"bytes */{info.size}"}
        return Response(b"", status_code=416, headers=unfit)
    start, length = part
    headers["Content-Length"] = str(length)
    status = 200
    if length != info.size:
        status = 206
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{info.size}"
    pieces = pictures.stream(name, start, length)
    return Stream(pieces, status_code=status, headers=headers, media_type=info.media_type)


_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def _part(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and length of one range; the whole for none, several or unreadable ones; None: not satisfiable."""
    found = _RANGE.fullmatch(header) if header else None
    if found is None or not (found[1] or found[2]):
        return 0, size
    if not found[1]:
        length = min(int(found[2]), size)
        return (size - length, length) if length else None
    start = int(found[1])
    end = min(int(found[2]) if found[2] else size - 1, size - 1)
    if start >= size:
        return None
    return (start, end - start + 1) if end >= start else (0, size)
