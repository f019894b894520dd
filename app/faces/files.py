"""Pictures of a local blob folder over HTTP: no key, the name (or the link's signature) is the secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from email.utils import formatdate
from typing import Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Stream

from app.http.entity_tags import unchanged
from app.http.query import parameters
from app.services import AnyRequest, services
from jobs.errors import NotFound

Opens = Callable[[str, str, str], bool]
"""Whether a link with this name, end (`se`) and signature (`sig`) opens its blob."""


def local_files(container: str, opens: Opens) -> HTTPRouteHandler:
    """`/{container}/images/…` and `previews/…`; nothing else of the folder is served."""

    @get(f"/{container}/{{kind:str}}/{{path:path}}", include_in_schema=False)
    async def picture(request: AnyRequest, kind: FromPath[str], path: FromPath[str]) -> Response[bytes] | Stream:
        """A picture, or with `Range` (RFC 9110) a part of it."""
        pictures = services(request).pictures
        name, query = f"{kind}/{path.lstrip('/')}", dict(parameters(request))
        if kind not in _CACHED or not opens(name, query.get("se", ""), query.get("sig", "")):
            raise NotFound("there is no picture at this address")
        info = await pictures.info(name)
        headers = {
            "ETag": info.etag,
            "Last-Modified": formatdate(info.modified_ms / 1000, usegmt=True),
            "Accept-Ranges": "bytes",
            "Cache-Control": _CACHED[kind],
            **_HEADERS,
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

    return picture


_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_CACHED: Final = {"images": "public, max-age=31536000, immutable", "previews": "public, max-age=3600"}
"""What is served, and how long it may be kept elsewhere."""
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
