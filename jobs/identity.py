"""Entra tokens of this process's own identity: one a scope, shared by all that call, and renewed once for all."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from functools import cache
from typing import Any, Final, Self

from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.identity.aio import DefaultAzureCredential
from msgspec import Struct

from jobs.authorities import trusted

RENEW_SECONDS: Final = 300.0
"""Before its end a token is renewed; one of a short life when a fifth of that is left."""


class NoToken(Exception):
    """No token is to be had just now: the words say why."""


class _Kept(Struct, frozen=True):
    token: str
    expires_on: int
    """Unix seconds."""
    renew_at: float


class Identity:
    """What azure-identity finds here: an application's secret or certificate, a workload's or a managed identity.

    Azure's SDKs take it for a credential (`get_token`, `get_token_info`).
    """

    def __init__(self) -> None:
        self._credential: DefaultAzureCredential | None = None
        self._kept: dict[str, _Kept] = {}
        self._renewing: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._users = 0

    def open(self) -> None:
        """Somebody calls with it from now on."""
        self._users += 1

    async def close(self) -> None:
        """As often as it was opened; the last one closes its connections."""
        self._users -= 1
        if self._users <= 0:
            self._kept.clear()
            self._renewing.clear()
            await self._close_credential()

    async def token(self, scope: str) -> str:
        """A token that is good for a while yet. Raises `NoToken`."""
        return (await self._good(scope)).token

    async def forget(self, scope: str, token: str) -> None:
        """A far end does not take the token, whatever it says of its end: the next call gets another."""
        if scope in self._kept and self._kept[scope].token == token:
            del self._kept[scope]
            await self._close_credential()  # which remembers it as well

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """See azure-core. Raises its `ClientAuthenticationError`."""
        kept = await self._for_sdk(scopes[0])
        return AccessToken(kept.token, kept.expires_on)

    async def get_token_info(self, *scopes: str, options: Any = None) -> AccessTokenInfo:  # noqa: ARG002  # azure-core's
        """The same, in azure-core's newer words."""
        kept = await self._for_sdk(scopes[0])
        return AccessTokenInfo(kept.token, kept.expires_on)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """An SDK that closes its client closes no identity: others call with it."""

    async def _for_sdk(self, scope: str) -> _Kept:
        try:
            return await self._good(scope)
        except NoToken as error:
            raise ClientAuthenticationError(str(error)) from error

    async def _good(self, scope: str) -> _Kept:
        kept = self._kept.get(scope)
        if kept is not None and time.time() < kept.renew_at:
            return kept
        async with self._renewing[scope]:
            kept = self._kept.get(scope)
            if kept is None or time.time() >= kept.renew_at:
                kept = self._kept[scope] = await self._renewed(scope, kept)
        return kept

    async def _renewed(self, scope: str, before: _Kept | None) -> _Kept:
        """Another one; where there is none just now, the one before while it is good."""
        now = time.time()
        try:
            found = await self._opened().get_token(scope)
        except (AzureError, OSError, ValueError) as error:
            if before is not None and now < before.expires_on:
                return before
            raise NoToken(str(error).partition("\n")[0]) from error
        left = found.expires_on - now
        return _Kept(found.token, found.expires_on, now + max(0.0, left - min(RENEW_SECONDS, left / 5)))

    def _opened(self) -> DefaultAzureCredential:
        if self._credential is None:
            self._credential = DefaultAzureCredential(connection_verify=trusted() or True)
        return self._credential

    async def _close_credential(self) -> None:
        credential, self._credential = self._credential, None
        if credential is not None:
            with contextlib.suppress(Exception):  # whatever becomes of its connections
                await credential.close()


@cache
def identity() -> Identity:
    """The one of this process."""
    return Identity()
