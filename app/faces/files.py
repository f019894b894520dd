"""Pictures of a local blob folder over HTTP: no key, the name (or the link's signature) is the secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Stream

from app.http.query import parameters
from app.http.stored_picture import stored_picture
from app.services import AnyRequest
from jobs.errors import NotFound

Opens = Callable[[str, str, str], bool]
"""Whether a link with this name, end (`se`) and signature (`sig`) opens its blob."""


def local_files(container: str, opens: Opens) -> HTTPRouteHandler:
    """`/{container}/images/…` and `previews/…`; nothing else of the folder is served."""

    @get(f"/{container}/{{kind:str}}/{{path:path}}", include_in_schema=False)
    async def picture(request: AnyRequest, kind: FromPath[str], path: FromPath[str]) -> Response[bytes] | Stream:
        """A picture, or with `Range` (RFC 9110) a part of it."""
        name, query = f"{kind}/{path.lstrip('/')}", dict(parameters(request))
        if kind not in _CACHED or not opens(name, query.get("se", ""), query.get("sig", "")):
            raise NotFound("there is no picture at this address")
        return await stored_picture(request, name, {"Cache-Control": _CACHED[kind], **_ANYWHERE})

    return picture


_ANYWHERE: Final = {"Cross-Origin-Resource-Policy": "cross-origin"}
_CACHED: Final = {"images": "public, max-age=31536000, immutable", "previews": "public, max-age=3600"}
"""What is served, and how long it may be kept elsewhere."""
