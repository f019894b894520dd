"""The cookies in which NextAuth 4 and Auth.js 5 keep a session: their names, and the chunks of a long one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

SECURE: Final = "__Secure-"
NEXTAUTH_4: Final = "next-auth.session-token"
AUTHJS_5: Final = "authjs.session-token"
NAMES: Final = (f"{SECURE}{AUTHJS_5}", f"{SECURE}{NEXTAUTH_4}", AUTHJS_5, NEXTAUTH_4)
"""The secure ones first: no page of a neighbouring host can set those."""


class SessionCookie(Struct, frozen=True):
    """A session's token as it was sent, its chunks joined."""

    name: str
    token: str


def session_cookies(headers: Sequence[tuple[str, str]]) -> list[SessionCookie]:
    """Every session that a request's `Cookie` headers hold, in the order of `NAMES`."""
    return [SessionCookie(name, token) for name, chunks in _chunks(headers) if (token := "".join(chunks))]


def without_others(cookies: str) -> str:
    """Of a `Cookie` header the cookies of sessions."""
    return "; ".join(pair.strip() for pair in cookies.split(";") if pair.strip().startswith(NAMES))


def _chunks(headers: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """For each name its values: of `name` itself, or of `name.0`, `name.1` and so on, in the order of these numbers."""
    pairs = [pair.strip().partition("=") for key, value in headers if key == "cookie" for pair in value.split(";")]
    sent: dict[str, str] = {}
    for name, _, value in pairs:
        sent.setdefault(name.strip(), value.strip())
    for name in NAMES:
        numbered = re.compile(rf"{re.escape(name)}(?:\.([0-9]{{1,3}}))?")
        parts = [(int(found[1] or 0), value) for key, value in sent.items() if (found := numbered.fullmatch(key))]
        yield name, [value for _, value in sorted(parts, key=lambda part: part[0])]
