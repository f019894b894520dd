"""Reading a query string strictly: each parameter known, once, and in its form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from app.http.fields import meant
from jobs.errors import InvalidInput, NotFound
from jobs.model.times import read_moment

if TYPE_CHECKING:
    from litestar import Request

PAGE: Final = 20
MAX_PAGE: Final = 100
_MOST: Final = 999_999
_MOST_DIGITS: Final = len(str(_MOST))
_BLANK_FOR_PLUS: Final = re.compile(r"(?<=\d) (?=\d\d:\d\d\Z)")
"""A `+` that nobody escaped arrives in a query as a blank."""


def only_query(
    request: Request[Any, Any, Any], known: frozenset[str] = frozenset(), prefix: str | None = None
) -> dict[str, str]:
    """The parameters, all of them `known` or `prefix…]`. Raises `InvalidInput` naming the one that is not."""
    query: dict[str, str] = {}
    for name, value in parameters(request):
        if name not in known and not (prefix and name.startswith(prefix) and name.endswith("]")):
            raise InvalidInput(f"is no query parameter here{meant(name, known)}", field=name[:64])
        if name in query:
            raise InvalidInput("is given twice", field=name)
        query[name] = value
    return query


def parameters(request: Request[Any, Any, Any]) -> list[tuple[str, str]]:
    """The parameters in their order. The framework's own reading keeps the last 1,024 query strings of strangers."""
    return parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)


def number(query: dict[str, str], name: str, default: int, least: int = 1) -> int:
    """A parameter that is a number; one of more than six digits is as good as the largest of six."""
    value = query.get(name)
    if value is None:
        return default
    if not value.isascii() or not value.isdigit() or int(value[:_MOST_DIGITS]) < least:
        raise InvalidInput(f"must be a number, at least {least}", field=name)
    return int(value) if len(value) <= _MOST_DIGITS else _MOST


def page(query: dict[str, str], kind: str) -> tuple[str | None, int]:
    """`cursor`, which is the id of a thing of that kind, and `limit`."""
    cursor = query.get("cursor")
    if cursor is not None and not _is_id(cursor, kind):
        raise InvalidInput("is not a cursor of ours", field="cursor")
    return cursor, min(number(query, "limit", PAGE), MAX_PAGE)


def known_id(text: str, kind: str, what: str) -> str:
    """An id in a path, when it can be one of ours (`ids.new_id`). Raises `NotFound`."""
    if not _is_id(text, kind):
        raise NotFound(f"no such {what}")
    return text


def _is_id(text: str, kind: str) -> bool:
    return re.fullmatch(rf"{kind}_[0-9a-z]{{30}}", text) is not None


def instant(value: str | None, field: str) -> int | None:
    """An RFC 3339 time, whose letters may be small, in Unix milliseconds."""
    if value is None:
        return None
    try:
        return read_moment(_BLANK_FOR_PLUS.sub("+", value.upper()))
    except (ValueError, OverflowError):
        message = "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z"
        raise InvalidInput(message, field=field) from None
