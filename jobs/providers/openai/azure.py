"""Azure OpenAI by its deployment paths, with `api-key` or a token of our own identity."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from jobs.errors import Outcome, ProviderError, ServiceUnavailable
from jobs.providers.base import Order, Step
from jobs.providers.openai import wire as openai_wire
from jobs.providers.outcomes import no_token

if TYPE_CHECKING:
    from openai import AsyncAzureOpenAI

    from jobs.identity import Identity

EDITS_SINCE: Final = "2025-04-01"
"""The first API version, by its date, that takes edits and masks."""


SCOPE: Final = "https://cognitiveservices.azure.com/.default"
"""What a token is for (Microsoft's documentation of Azure OpenAI)."""
_UNAUTHORIZED: Final = 401


class AzureOpenAI:
    """The provider `azure-openai`. `model` is the deployment's name, or one for which `deployments` have another.

    With an `identity` there is no key.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        api_key: str,
        api_version: str,
        identity: Identity | None = None,
        deployments: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._endpoint = endpoint
        self._api_key = api_key
        self._api_version = api_version
        self._identity = identity
        self._deployments = deployments
        self._client: AsyncAzureOpenAI | None = None

    async def open(self) -> None:
        """Import the SDK and make the client; its own retries are off."""
        from openai import AsyncAzureOpenAI  # the SDK is 40 MB

        if self._identity is not None:
            self._identity.open()
        self._client = AsyncAzureOpenAI(
            azure_endpoint=self._endpoint,
            api_version=self._api_version,
            **({"api_key": self._api_key} if self._identity is None else {"azure_ad_token_provider": self._token}),
            max_retries=0,
            http_client=openai_wire.http_client(),
        )

    async def close(self) -> None:
        """See `Provider.close`."""
        if self._client is not None:
            await self._client.close()
            if self._identity is not None:
                await self._identity.close()

    async def generate(self, order: Order) -> AsyncIterator[Step]:
        """See `Provider.generate`."""
        if order.images and not edits_at(self._api_version):
            message = (
                f"edits need AZURE_OPENAI_IMAGE_API_VERSION 2025-04-01-preview or newer; it is {self._api_version}"
            )
            raise ProviderError(Outcome.REFUSED, ServiceUnavailable(message, reason="provider_unconfigured"))
        if self._client is None:
            raise RuntimeError("open() first")
        token = await self._token()  # before anything is sent: where there is none, nothing was
        deployment = self._deployments.get(order.request.model, order.request.model)
        deployed = replace(order, request=replace(order.request, model=deployment))
        try:
            async for step in openai_wire.generate(self._client, deployed):
                yield step
        except ProviderError as error:
            if self._identity is not None and error.provider_status == _UNAUTHORIZED:
                await self._identity.forget(SCOPE, token)
            raise

    async def _token(self) -> str:
        if self._identity is None:
            return ""
        from jobs.identity import NoToken  # with MSAL it is 20 MB

        try:
            return await self._identity.token(SCOPE)
        except NoToken as error:
            raise no_token(str(error)) from error


def edits_at(api_version: str) -> bool:
    """Whether an API version takes edits: by its date; `preview` and `v1` count as newest."""
    found = re.match(r"\d{4}-\d{2}-\d{2}", api_version)
    return found[0] >= EDITS_SINCE if found else api_version in {"preview", "v1"}
