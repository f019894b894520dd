"""What is read of a socket's first request: the credential, and the page that it comes from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from app.auth.authenticator import CREDENTIALS, X_ORG_ID, Headers, credential_headers


def credentials(scope: Mapping[str, Any], auth: object) -> Headers:
    """The headers by which the caller is known: those of the request, unless the handshake brought a token.

    A browser cannot set headers on a websocket: its token is in the handshake's `auth`, or at last in the query.
    """
    headers = credential_headers(scope)
    told = tuple(header for header in headers if header[0] in CREDENTIALS)
    token = auth.get("token") if isinstance(auth, Mapping) else None
    if token is None and not told:
        token = query(scope).get("token")
    if token is not None:
        told = (("authorization", f"Bearer {token if _fit(token) else ''}"),)
    return (*told, *(header for header in headers if header[0] == X_ORG_ID))


def kept(scope: Mapping[str, Any]) -> dict[str, Any]:
    """What `credentials` reads of a session's first request, and no more: that is kept as long as the session."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in credential_headers(scope)]
    return {"headers": headers, "query_string": scope["query_string"]}


def from_allowed_page(scope: Mapping[str, Any], origins: Collection[str]) -> bool:
    """Whether a websocket comes from no page, from one of ours, or from an origin that may call the API (RFC 6455).

    Browsers hold websockets to no rule of origin by themselves.
    """
    headers: dict[str, str] = {n.decode("latin-1").lower(): v.decode("latin-1") for n, v in scope["headers"]}
    origin = headers.get("origin")
    if origin is None or "*" in origins or origin in origins:
        return True
    return urlsplit(origin).netloc == headers.get("host")


def query(scope: Mapping[str, Any]) -> dict[str, str]:
    """The query's parameters; of one that is repeated, the first."""
    return {name: values[0] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}


def _fit(token: object) -> bool:
    return isinstance(token, str) and token.isascii()
