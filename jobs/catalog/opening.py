"""The catalog as the settings have it: the table, the names of deployments and prices of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.catalog.families import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobs.settings import Settings


def catalog_of(settings: Settings) -> Catalog:
    """What the settings make of the table. Raises `ConfigurationError`."""
    table = Catalog.load(settings.models_file)
    others = {
        ("azure-openai", deployment): model
        for deployments in _deployments(settings)
        for model, deployment in deployments.items()
    }
    return Catalog(table.families, others=others, prices=settings.prices)


def _deployments(settings: Settings) -> Iterator[Mapping[str, str]]:
    yield settings.azure_openai_deployments
    for table in settings.account_tables.get("azure-openai", {}).values():
        told = table.get("deployments")
        if isinstance(told, dict):  # what is no table is refused where accounts are made (`jobs.providers.accounts`)
            yield {str(model): str(deployment) for model, deployment in told.items()}
