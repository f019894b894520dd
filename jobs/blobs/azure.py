"""Blobs in Azure Blob Storage, or anything that speaks its wire."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from jobs.authorities import trusted
from jobs.blobs.delegation import DelegationKey
from jobs.blobs.store import LINK_SECONDS, BlobExists, BlobInfo, BlobMissing, BlobRefused, BlobStoreDown, own_name

if TYPE_CHECKING:
    from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient

    from jobs.identity import Identity

CACHE: Final = "public, max-age=31536000, immutable"
"""A picture never changes under its name."""
PIECE: Final = 1024 * 1024
"""Bytes of a blob that a stream holds at a time."""
CLIENT_ERRORS: Final = 400
SERVER_ERRORS: Final = 500
TOO_MANY: Final = 429
READY_SECONDS: Final = 5.0
"""A store that says nothing for so long is not ready."""


class AzureBlobs:
    """One container. By connection string (links signed with its key), or by account URL and our own identity.

    `link_base` stands in links for the container's own URL, as that of a content network before it.
    """

    def __init__(  # noqa: PLR0913  # what is set of a store
        self,
        container: str,
        *,
        public: bool,
        connection_string: str | None,
        account_url: str | None,
        identity: Identity | None = None,
        link_base: str | None = None,
        link_seconds: int = LINK_SECONDS,
    ) -> None:
        self._name = container
        self._public = public
        self._connection_string = connection_string
        self._account_url = account_url
        self._identity = identity
        self._link_base, self._link_seconds = link_base, link_seconds
        self._service: BlobServiceClient | None = None
        self._client: ContainerClient | None = None
        self._key: DelegationKey | None = None
        self._kept = contextlib.AsyncExitStack()

    async def open(self) -> None:
        """Make the client. Nothing is asked yet: no process waits for a store that is away in order to start."""
        # The SDK's own default backs off 15 s after the first failure; ours ends within a few.
        bounds: dict[str, Any] = {
            "retry_total": 2,
            "initial_backoff": 1,
            "increment_base": 2,
            "random_jitter_range": 0,
            "connection_timeout": 5,
            "read_timeout": 30,
            "connection_verify": trusted() or True,
            "permit_redirects": False,  # a picture is for this account alone
            "use_env_settings": False,  # the SDK reads them, and `.netrc`, anew for every call
        }
        self._make(bounds)
        if (proxies := getproxies()) and not proxy_bypass(self.host or ""):
            self._make({**bounds, "proxies": proxies})
        if self._identity is not None:
            self._identity.open()
            self._kept.push_async_callback(self._identity.close)
        if self._service is not None and self._identity is not None and not self._public:
            self._key = DelegationKey(self._service)
            await self._kept.enter_async_context(self._key.kept())

    async def close(self) -> None:
        """Close the client and its connections."""
        await self._kept.aclose()
        if self._client is not None:
            await self._client.close()
        if self._service is not None:
            await self._service.close()

    async def ready(self) -> None:
        """See `BlobStore.ready`."""
        try:
            with _translated(self._name):
                async with asyncio.timeout(READY_SECONDS):
                    await self._container.get_container_properties()
        except BlobMissing:
            await self._make_container()

    async def put(self, name: str, data: bytes, media_type: str) -> None:
        """See `BlobStore.put`: one request, create-only by `If-None-Match: *`.

        Where links are signed with a key that is lent, that is had first.
        """
        if self._key is not None:
            with _translated(name):
                await self._key.require()
        try:
            await self._put(name, data, media_type)
        except BlobMissing:  # the container is what is missing
            await self._make_container()
            await self._put(name, data, media_type)

    async def info(self, name: str) -> BlobInfo:
        """See `BlobStore.info`."""
        with _translated(name):
            found = await self._blob(name).get_blob_properties()
        return BlobInfo(
            name=name,
            size=found.size,
            media_type=found.content_settings.content_type or "application/octet-stream",
            modified_ms=round(found.last_modified.timestamp() * 1000),
            etag=f'"{str(found.etag).strip(chr(34))}"',
        )

    async def read(self, name: str) -> bytes:
        """See `BlobStore.read`."""
        with _translated(name):
            stream = await self._blob(name).download_blob()
            data: bytes = await stream.readall()
            return data

    async def stream(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """See `BlobStore.stream`."""
        # Asked for in ranges: the SDK's own first piece may be 32 MB, all of it in memory.
        left = length if length is not None else (await self.info(name)).size - start
        while left > 0:
            with _translated(name):
                piece = await self._blob(name).download_blob(offset=start, length=min(PIECE, left))
                data = await piece.readall()
            yield data
            start, left = start + len(data), left - len(data)

    async def delete(self, name: str) -> bool:
        """See `BlobStore.delete`."""
        try:
            with _translated(name):
                await self._blob(name).delete_blob()
        except BlobMissing:
            return False
        return True

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """See `BlobStore.names`."""
        with _translated(prefix):
            async for name in self._container.list_blob_names(name_starts_with=prefix):
                yield name

    def link(self, name: str, seconds: int | None = None) -> str:
        """See `BlobStore.link`."""
        url: str = self._blob(name).url.partition("?")[0]
        if self._link_base is not None:
            url = self._link_base + url.removeprefix(self._container.url.partition("?")[0])
        if self._public:
            return url
        signature = self._signature(name, seconds or self._link_seconds)
        return f"{url}?{signature}" if signature else url

    def name_of(self, url: str) -> str | None:
        """See `BlobStore.name_of`."""
        found = own_name(url, self._container.url.partition("?")[0])
        return own_name(url, self._link_base) if found is None and self._link_base else found

    @property
    def host(self) -> str | None:
        """See `BlobStore.host`."""
        return urlsplit(self._container.url).hostname

    def _make(self, options: dict[str, Any]) -> None:
        from azure.storage.blob.aio import BlobServiceClient  # only where Azure is used

        if self._connection_string is not None:
            self._service = BlobServiceClient.from_connection_string(self._connection_string, **options)
        else:
            self._service = BlobServiceClient(str(self._account_url), self._identity, **options)
        self._client = self._service.get_container_client(self._name)

    def _signature(self, name: str, seconds: int) -> str | None:
        """The query of a link; None: the key for it is not here yet, and the link opens nothing."""
        if self._key is not None:
            return self._key.signature(self._name, name, seconds)
        from azure.storage.blob import BlobSasPermissions, generate_blob_sas

        key = getattr(self._container.credential, "account_key", None)
        if key is None:
            raise BlobRefused("signed links need a connection string with an account key", reason="unsignable")
        return generate_blob_sas(
            str(self._container.account_name),
            self._name,
            name,
            account_key=key,
            permission=BlobSasPermissions(read=True),
            expiry=datetime.now(UTC) + timedelta(seconds=seconds),
        )

    async def _put(self, name: str, data: bytes, media_type: str) -> None:
        from azure.core.exceptions import ResourceExistsError
        from azure.storage.blob import ContentSettings

        settings = ContentSettings(content_type=media_type, cache_control=CACHE)
        try:
            with _translated(name):
                await self._blob(name).upload_blob(data, overwrite=False, content_settings=settings)
        except ResourceExistsError:
            raise BlobExists(name) from None

    async def _make_container(self) -> None:
        from azure.core.exceptions import ResourceExistsError

        with _translated(self._name), contextlib.suppress(ResourceExistsError):
            await self._container.create_container(public_access="blob" if self._public else None)

    @property
    def _container(self) -> ContainerClient:
        if self._client is None:
            raise BlobStoreDown("the blob store is not open", reason="blob_store_unavailable")
        return self._client

    def _blob(self, name: str) -> BlobClient:
        return self._container.get_blob_client(name)


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    """Azure's failures as ours; an existing blob or container is left to the caller."""
    from azure.core.exceptions import (
        AzureError,
        HttpResponseError,
        ResourceExistsError,
        ResourceNotFoundError,
    )

    try:
        yield
    except ResourceExistsError:
        raise
    except ResourceNotFoundError as error:
        raise BlobMissing(name) from error
    except HttpResponseError as error:
        status = error.status_code or SERVER_ERRORS
        if status >= SERVER_ERRORS or status == TOO_MANY or status < CLIENT_ERRORS:
            raise BlobStoreDown("the blob store answers with an error", reason="blob_store_unavailable") from error
        raise BlobRefused(f"the blob store refused with {status}", reason="blob_store_refused") from error
    except (AzureError, OSError, TimeoutError) as error:
        raise BlobStoreDown("the blob store cannot be reached", reason="blob_store_unavailable") from error
