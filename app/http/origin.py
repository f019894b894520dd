"""From which pages a browser may write with a session's cookie, which it sends whichever page asks."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from app.services import AnyRequest, services
from jobs.errors import Forbidden

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_PAGE: Final = frozenset({"same-origin", "none"})
"""`Sec-Fetch-Site` (W3C Fetch Metadata) of a page of ours, and of nobody's page."""
_PORTS: Final = {"http": ":80", "https": ":443"}


def check_origin(request: AnyRequest) -> None:
    """Let only this server's own pages and the front end's write. Raises `Forbidden`.

    Who names no origin is no browser, or says by `Sec-Fetch-Site` where the page is from.
    """
    if request.method in _READING:
        return
    origin = request.headers.get("origin")
    settings = services(request).settings
    fit = {_origin(url) for url in (*settings.own_bases(), settings.nextauth_url) if url}
    if origin not in fit if origin else written_elsewhere(request):
        raise Forbidden("a session's cookie may be used by the front end's own pages alone", field="Origin")


def written_elsewhere(request: AnyRequest) -> bool:
    """Whether a browser says that it writes for a page of another site (`Sec-Fetch-Site`)."""
    return request.method not in _READING and request.headers.get("sec-fetch-site", "none") not in _OWN_PAGE


def _origin(url: str) -> str:
    """What a browser sends of a page at this address (RFC 6454): scheme, host, and a port that is not the usual one."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower().removesuffix(_PORTS.get(parts.scheme, "//"))
    return f"{parts.scheme}://{host}"
