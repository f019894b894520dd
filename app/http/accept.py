"""`Accept` (RFC 9110 section 12.5.1): which media types a client takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from litestar import Request

_ZERO: Final = re.compile(r";\s*q\s*=\s*0(?:\.0*)?\s*(?:;|$)", re.IGNORECASE)


def asks_for(request: Request[Any, Any, Any], kind: str) -> bool:
    """Whether the client names this very media type as one that it takes; a range such as `*/*` names none."""
    return _taken(request).get(kind, False)


def takes(request: Request[Any, Any, Any], kind: str) -> bool:
    """Whether the client takes the media type: by the most precise of its ranges, or because it names none at all."""
    taken = _taken(request)
    ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*")
    return next((taken[r] for r in ranges if r in taken), not taken)


def _taken(request: Request[Any, Any, Any]) -> dict[str, bool]:
    """Each range of the header in lower case, and whether its weight is more than zero."""
    ranges = (r.partition(";") for r in request.headers.get("accept", "").split(",") if r.strip())
    return {name.strip().lower(): not _ZERO.search(f";{rest}") for name, _, rest in ranges}
