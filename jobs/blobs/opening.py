"""The stores, as the settings ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.blobs.store import BlobStore
    from jobs.identity import Identity
    from jobs.settings import Settings


def blob_store(settings: Settings) -> BlobStore:
    """Azure where it is configured, else a folder in the data directory. Not opened yet."""
    connection_string = settings.azure_storage_connection_string
    if connection_string is None and settings.azure_storage_account_url is None:
        from jobs.blobs.local import LocalBlobs  # one of the two is loaded

        return LocalBlobs(
            settings.data_dir / "blobs",
            settings.azure_storage_container,
            settings.public_base_url,
            public=settings.azure_storage_public,
            signing_key=settings.derived_key("links"),
            link_base=settings.link_base_url,
            link_seconds=settings.link_seconds,
        )
    from jobs.blobs.azure import AzureBlobs

    return AzureBlobs(
        settings.azure_storage_container,
        public=settings.azure_storage_public,
        connection_string=None if connection_string is None else connection_string.get_secret_value(),
        account_url=settings.azure_storage_account_url,
        identity=_identity() if connection_string is None else None,
        link_base=settings.link_base_url,
        link_seconds=settings.link_seconds,
    )


def _identity() -> Identity:
    from jobs.identity import identity  # with MSAL it is 20 MB

    return identity()
