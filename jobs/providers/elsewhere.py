"""Pictures that a far end answers with the address of: they are fetched at once, for the address may not last."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Final
from urllib.parse import urljoin, urlsplit

from jobs.outside.address import PORTS, OutsideError, Policy
from jobs.outside.client import Outside

MAX_BYTES: Final = 128 * 1024 * 1024
"""Of a picture that was paid for."""
SECONDS: Final = 60.0
"""What fetching one may take."""

_ANYWHERE: Final = Policy()
_OWN: Final = Policy(networks=(IPv4Network("0.0.0.0/0"),))
"""The host that the operator named is asked on any port and network, as the call was."""


class Elsewhere:
    """Fetches what lies at the provider's own host (that of `base_url`), or at any public https address.

    No key goes along, and no redirect is followed.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    async def fetch(self, address: str) -> bytes:
        """The bytes at an address, which may be relative to the provider's. Raises `OutsideError`."""
        try:
            url = urljoin(self._base_url, address)
            own = _origin(url) == _origin(self._base_url)
        except ValueError:
            raise OutsideError("form") from None
        return await Outside(_OWN if own else _ANYWHERE).get(url, seconds=SECONDS, most=MAX_BYTES)


def _origin(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or PORTS.get(parts.scheme)
