"""Vertex AI: Google's models in a project of one's own, called with the credentials that Google's library finds."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from jobs.providers.outcomes import no_token

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

API_VERSION: Final = "v1beta1"
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


class Vertex:
    """A project at a location: `global`, or a region."""

    def __init__(self, *, project: str, location: str) -> None:
        self.project = project
        self.location = location

    @property
    def base_url(self) -> str:
        """Google's own."""
        region = "" if self.location == "global" else f"{self.location}-"
        return f"https://{region}aiplatform.googleapis.com"

    def path(self, model: str, verb: str) -> str:
        """That of a model's method."""
        place = f"projects/{self.project}/locations/{self.location}"
        return f"/{API_VERSION}/{place}/publishers/google/models/{model}:{verb}"


class GoogleTokens:
    """The application default credentials: a service account's file, a workload identity, or the machine's own account.

    One token is shared by all calls of a process, and renewed once for all.
    """

    def __init__(self) -> None:
        self._credentials: Credentials | None = None
        self._renewing = asyncio.Lock()

    async def token(self) -> str:
        """One that is good for minutes yet. Raises `ProviderError`: nothing was sent."""
        from google.auth.exceptions import GoogleAuthError

        async with self._renewing:
            try:
                credentials = await self.credentials()
                if not credentials.valid:
                    await asyncio.to_thread(_renew, credentials)
            except (GoogleAuthError, OSError, ValueError) as error:
                raise no_token(str(error.args[0] if error.args else error).partition("\n")[0]) from error
        return str(credentials.token)

    async def credentials(self) -> Credentials:
        """What Google's own SDK takes."""
        import google.auth  # loaded with Vertex

        if self._credentials is None:
            found: tuple[Any, Any] = await asyncio.to_thread(google.auth.default, scopes=[_SCOPE])
            self._credentials = found[0]
        return self._credentials

    def forget(self, token: str) -> None:
        """A far end does not take it: the next call gets another."""
        if self._credentials is not None and self._credentials.token == token:
            self._credentials.token = None


@cache
def google_tokens() -> GoogleTokens:
    """Those of this process."""
    return GoogleTokens()


def _renew(credentials: Credentials) -> None:
    from google.auth.transport.requests import Request

    credentials.refresh(Request())  # type: ignore[no-untyped-call]  # Google's library has half its types
