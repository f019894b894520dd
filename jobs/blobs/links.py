"""Links of our own: which URLs name a blob of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.blobs.store import own_name

if TYPE_CHECKING:
    from jobs.blobs.store import BlobStore
    from jobs.settings import Settings


class OwnLinks:
    """Tells links of ours from strangers' addresses. `blobs` must be open before the first call."""

    def __init__(self, blobs: BlobStore, settings: Settings) -> None:
        self._blobs = blobs
        self._bases = tuple(f"{base}/{settings.azure_storage_container}" for base in settings.own_bases())

    def name_of(self, url: str) -> str | None:
        """The blob that a URL of ours names (`""`: none can be there); None for a stranger's."""
        names = [self._blobs.name_of(url), *(own_name(url, base) for base in self._bases)]
        return next((name for name in names if name is not None), None)
