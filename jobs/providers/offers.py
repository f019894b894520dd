"""The models as this deployment has them: the table's, and those that its providers are told of by the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from jobs.catalog.opening import catalog_of
from jobs.providers import missing
from jobs.providers.comfyui.workflow import Workflow, named

if TYPE_CHECKING:
    from jobs.catalog.families import Catalog, Family
    from jobs.settings import Settings

_COMFYUI: Final = "comfyui"
_FIELDS: Final = {
    "negativePrompt": ("negative_prompt",),
    "seed": ("seed",),
    "steps": ("steps",),
    "size": ("width", "height"),
}
"""What a request may say, and by which fields of a workflow it is taken."""


def offered(settings: Settings) -> Catalog:
    """The catalog, with each workflow as a model that takes what its nodes take. Raises `ConfigurationError`."""
    catalog = catalog_of(settings)
    if missing(_COMFYUI, settings) is not None or _COMFYUI not in catalog.providers:
        return catalog
    rows = (row for family in catalog.families if _COMFYUI in family.providers for row in family.match)
    told = set(rows)  # a row of the operator's own says more than a workflow does
    workflows = {name: each for name, each in named(settings.comfyui_workflows).items() if name not in told}
    own = (_row(catalog.family(_COMFYUI, name), name, workflow) for name, workflow in workflows.items())
    return catalog.with_first(own)


def _row(like: Family, name: str, workflow: Workflow) -> Family:
    lacks = [field for field, types in _FIELDS.items() if not any(map(workflow.takes, types))]
    pictures = workflow.takes("image")
    return replace(
        like,
        name=name,
        providers=(_COMFYUI,),
        match=(name,),
        names=(name,),
        ignored=tuple(dict.fromkeys((*like.ignored, *lacks))),
        edit=pictures > 0,
        mask=workflow.takes("mask") > 0,
        max_references=pictures,
        n_per_call=like.n_per_call if workflow.takes("n") else 1,
    )
