"""Azure OpenAI by its deployment paths and `api-key`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from jobs.errors import Outcome, ProviderError, ServiceUnavailable
from jobs.providers.base import Order, Step
from jobs.providers.openai import wire as openai_wire

if TYPE_CHECKING:
    from openai import AsyncAzureOpenAI

EDITS_SINCE: Final = "2025-04-01"
"""The first API version, by its date, that takes edits and masks."""


class AzureOpenAI:
    """The provider `azure-openai`. `model` is the deployment's name."""

    def __init__(self, *, endpoint: str, api_key: str, api_version: str) -> None:
        self._endpoint = endpoint
        self._api_key = api_key
        self._api_version = api_version
        self._client: AsyncAzureOpenAI | None = None

    async def open(self) -> None:
        """Import the SDK and make the client; its own retries are off."""
        from openai import AsyncAzureOpenAI  # the SDK is 40 MB

        self._client = AsyncAzureOpenAI(
            azure_endpoint=self._endpoint,
            api_key=self._api_key,
            api_version=self._api_version,
            max_retries=0,
            http_client=openai_wire.http_client(),
        )

    async def close(self) -> None:
        """See `Provider.close`."""
        if self._client is not None:
            await self._client.close()

    async def generate(self, order: Order) -> AsyncIterator[Step]:
        """See `Provider.generate`."""
        if order.images and not edits_at(self._api_version):
            message = (
                f"edits need AZURE_OPENAI_IMAGE_API_VERSION 2025-04-01-preview or newer; it is {self._api_version}"
            )
            raise ProviderError(Outcome.REFUSED, ServiceUnavailable(message, reason="provider_unconfigured"))
        if self._client is None:
            raise RuntimeError("open() first")
        async for step in openai_wire.generate(self._client, order):
            yield step


def edits_at(api_version: str) -> bool:
    """Whether an API version takes edits: by its date; `preview` and `v1` count as newest."""
    found = re.match(r"\d{4}-\d{2}-\d{2}", api_version)
    return found[0] >= EDITS_SINCE if found else api_version in {"preview", "v1"}
