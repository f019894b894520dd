"""OpenAI, or any server that speaks its image wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from jobs.providers.base import Order, Step
from jobs.providers.openai import wire as openai_wire

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class OpenAI:
    """The provider `openai`. `base_url` ends with the version, as in `https://api.openai.com/v1`; None: OpenAI's.

    `organization` and `project` are whom calls are billed to, where the key does not say.
    """

    def __init__(
        self, *, api_key: str, base_url: str | None, organization: str | None = None, project: str | None = None
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._organization = organization
        self._project = project
        self._client: AsyncOpenAI | None = None

    async def open(self) -> None:
        """Import the SDK and make the client; its own retries are off."""
        from openai import AsyncOpenAI  # the SDK is 40 MB

        self._client = AsyncOpenAI(
            api_key=self._api_key,
            base_url=self._base_url,
            organization=self._organization,
            project=self._project,
            max_retries=0,
            http_client=openai_wire.http_client(),
        )

    async def close(self) -> None:
        """See `Provider.close`."""
        if self._client is not None:
            await self._client.close()

    async def generate(self, order: Order) -> AsyncIterator[Step]:
        """See `Provider.generate`."""
        if self._client is None:
            raise RuntimeError("open() first")
        async for step in openai_wire.generate(self._client, order):
            yield step
