"""The key by which links are signed where we have an identity and no account key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from jobs.shutdown import cancel

if TYPE_CHECKING:
    from azure.storage.blob import UserDelegationKey
    from azure.storage.blob.aio import BlobServiceClient

LIFE: Final = timedelta(days=7)
"""A key's, and so a link's, longest (Azure's own bound)."""
SKEW: Final = timedelta(minutes=5)
"""By which Azure's clock may differ from ours."""
RENEW_SECONDS: Final = 3_600.0
"""How often a key is renewed: so much less than the longest life may a link have."""
PAUSE_SECONDS: Final = 5.0
"""Before another try where none was to be had."""

_log = structlog.get_logger()


class DelegationKey:
    """A user delegation key that is always good for nearly a week."""

    def __init__(self, service: BlobServiceClient) -> None:
        self._service = service
        self._asking = asyncio.Lock()
        self._key: UserDelegationKey | None = None
        self._until = datetime.min.replace(tzinfo=UTC)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """It is had and renewed beside whatever is done."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            await cancel(keeping)

    async def require(self) -> None:
        """Have one. Raises what the SDK does."""
        if self._key is None:
            async with self._asking:
                if self._key is None:
                    await self._renew()

    def signature(self, container: str, name: str, seconds: int) -> str | None:
        """The query of a link that opens a blob for so long, or as long as the key does; None: there is no key yet."""
        from azure.storage.blob import BlobSasPermissions, generate_blob_sas

        if self._key is None:
            return None
        return generate_blob_sas(
            str(self._service.account_name),
            container,
            name,
            user_delegation_key=self._key,
            permission=BlobSasPermissions(read=True),
            expiry=min(datetime.now(UTC) + timedelta(seconds=seconds), self._until),
        )

    async def _keep(self) -> None:
        while True:
            try:
                await self._renew()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next try may succeed
                _log.warning("no key for links", error=str(error).partition("\n")[0])
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                await asyncio.sleep(RENEW_SECONDS)

    async def _renew(self) -> None:
        now = datetime.now(UTC)
        until = now + LIFE - SKEW
        self._key = await self._service.get_user_delegation_key(now - SKEW, until)
        self._until = until
