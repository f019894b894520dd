"""The issuer's public keys (RFC 7517), fetched once for everybody and kept for a while."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import jwt

from app.auth.fetching import fetched_json
from jobs.errors import ConfigurationError, ServiceUnavailable, Unauthorized

MAX_AGE_SECONDS: Final = 600
MIN_REFRESH_SECONDS: Final = 30
"""An unknown key id asks the issuer again, no more often than this."""
STALE_SECONDS: Final = 3_600
"""While the issuer is out of reach, keys are used up to this age."""
MAX_BODY_BYTES: Final = 256 * 1024
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class KeySet:
    """The keys behind one JWKS address: https, or http on loopback."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise ConfigurationError("JWT_JWKS_URL: must be https, e.g. https://login.example.com/jwks.json")
        self._url = url
        self._client = httpx.AsyncClient(timeout=5, trust_env=False, follow_redirects=False)
        self._keys: list[jwt.PyJWK] = []
        self._fetched = -float("inf")
        self._tried = -float("inf")
        self._one = asyncio.Lock()

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def key(self, kid: str | None, key_type: str) -> jwt.PyJWK:
        """The key of that id, or the only one of that type when the token names none. Raises `Unauthorized`."""
        if time.monotonic() - self._fetched > MAX_AGE_SECONDS:
            await self._refresh()
        found = self._find(kid, key_type)
        if found is None and time.monotonic() - self._tried > MIN_REFRESH_SECONDS:
            await self._refresh()
            found = self._find(kid, key_type)
        if found is None:
            raise Unauthorized("the token was signed by an unknown key")
        return found

    def _find(self, kid: str | None, key_type: str) -> jwt.PyJWK | None:
        fitting = [k for k in self._keys if k.key_type == key_type and (kid is None or k.key_id == kid)]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        asked = time.monotonic()
        async with self._one:
            if self._tried >= asked:  # somebody fetched while we waited
                return
            try:
                self._keys = _signing_keys(await fetched_json(self._client, self._url, MAX_BODY_BYTES, {}))
                self._fetched = time.monotonic()
            except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError):
                if time.monotonic() - self._fetched > STALE_SECONDS:
                    message = "the token issuer's keys cannot be had just now"
                    raise ServiceUnavailable(message, reason="jwks_unavailable", retry_after=5) from None
            finally:
                self._tried = time.monotonic()


def _signing_keys(document: Any) -> list[jwt.PyJWK]:
    if not isinstance(document, dict):
        raise TypeError("a key set is an object")
    fit = (key for key in document["keys"] if key.get("use", "sig") == "sig" and key.get("kty") in {"RSA", "EC"})
    return [jwt.PyJWK(key) for key in fit]
