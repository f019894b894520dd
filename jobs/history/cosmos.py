"""History in Azure Cosmos DB: the container of the front end, partitioned by `/userId`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from msgspec import to_builtins

from jobs.errors import ServiceUnavailable

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy, CosmosClient

    from jobs.history.generation import Generation

SECONDS: Final = 10.0
"""What one request may take, connecting included."""
FIELDS: Final = ("id", "userId", "prompt", "inputImages", "outputImageUrl", "createdAt")
_QUERY: Final = f"SELECT {', '.join(f'c.{name}' for name in FIELDS)} FROM c WHERE c.userId = @user"  # noqa: S608  # names of ours
_ORDER: Final = " ORDER BY c.id DESC"

T = TypeVar("T")
_log = structlog.get_logger()


class CosmosHistory:
    """One container, which must be there. The SDK asks for the account when it begins: here, with the first request."""

    def __init__(self, *, endpoint: str, key: str, database: str, container: str) -> None:
        self._endpoint = endpoint
        self._key = key
        self._database = database
        self._container = container
        self._client: CosmosClient | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """See `History.close`."""
        if self._client is not None:
            await self._client.close()

    async def add(self, made: Generation) -> None:
        """See `History.add`."""
        document: dict[str, Any] = to_builtins(made)
        await self._asked(lambda container: container.upsert_item({**document, "inputImages": [*made.input_images]}))

    async def remove(self, user: str, made_id: str) -> None:
        """See `History.remove`."""
        from azure.cosmos.exceptions import CosmosResourceNotFoundError  # noqa: PLC0415  # loaded where it is in use

        async def delete(container: ContainerProxy) -> None:
            with contextlib.suppress(CosmosResourceNotFoundError):
                await container.delete_item(made_id, partition_key=user)

        await self._asked(delete)

    async def page(self, user: str, below: str | None, most: int) -> list[dict[str, Any]]:
        """See `History.page`."""
        query = _QUERY + ("" if below is None else " AND c.id < @below") + _ORDER
        told: list[dict[str, Any]] = [{"name": "@user", "value": user}]
        told += [] if below is None else [{"name": "@below", "value": below}]

        async def read(container: ContainerProxy) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            items = container.query_items(query, parameters=told, partition_key=user, max_item_count=most)
            async for item in items:
                found.append({name: item.get(name) for name in FIELDS})
                if len(found) == most:
                    break
            return found

        return await self._asked(read)

    async def _asked(self, ask: Callable[[ContainerProxy], Awaitable[T]]) -> T:
        from azure.core.exceptions import AzureError  # noqa: PLC0415  # loaded where it is in use

        try:
            async with asyncio.timeout(SECONDS):
                client = await self._opened()
                container = client.get_database_client(self._database).get_container_client(self._container)
                return await ask(container)
        except (AzureError, TimeoutError, OSError) as error:
            _log.warning(
                "Cosmos DB cannot be used", kind=type(error).__name__, status=getattr(error, "status_code", None)
            )
            message = "the history cannot be reached just now"
            raise ServiceUnavailable(message, reason="history_unavailable", retry_after=5) from error

    async def _opened(self) -> CosmosClient:
        from azure.cosmos.aio import CosmosClient  # noqa: PLC0415  # loaded where it is in use

        async with self._opening:
            if self._client is None:
                plain = self._endpoint.startswith("http:")  # an emulator: it names itself by https
                client = CosmosClient(
                    self._endpoint,
                    self._key,
                    enable_endpoint_discovery=not plain,
                    retry_total=0,  # the outbox tries again
                )
                try:
                    await client.__aenter__()  # it lives longer than any block
                except BaseException:
                    await client.close()
                    raise
                self._client = client
            return self._client
