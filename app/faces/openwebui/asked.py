"""What a form and the configuration ask for together, as a request of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from app.faces.openwebui.forms import Edit, Generation
from app.faces.openwebui.images_config import ImagesConfig, params
from jobs.catalog.sizes import with_size
from jobs.errors import InvalidInput
from jobs.model.request import ImageRequest, Target

if TYPE_CHECKING:
    from jobs.catalog.families import Catalog, Family

FACE: Final = "openwebui"


def generation_request(form: Generation, target: Target, config: ImagesConfig, catalog: Catalog) -> ImageRequest:
    """A picture of words. What the form leaves open is as the configuration has it, where the model takes that."""
    family = catalog.family(target.provider, target.model)
    steps = form.steps or (None if "steps" in family.ignored else config.image_steps or None)
    request = _request(form, target, config, n=form.n, size=form.size, steps=steps)
    return request if form.size else _sized(request, config.image_size, family)


def edit_request(form: Edit, target: Target, config: ImagesConfig, catalog: Catalog) -> ImageRequest:
    """A picture of pictures, which are not in the request yet."""
    request = _request(form, target, config, n=form.n or 1, size=form.size, background=form.background)
    if form.size:
        return request
    return _sized(request, config.image_edit_size, catalog.family(target.provider, target.model))


def _request(form: Generation | Edit, target: Target, config: ImagesConfig, **more: Any) -> ImageRequest:
    return ImageRequest(
        provider=target.provider,
        model=target.model,
        prompt=form.prompt,
        negative_prompt=form.negative_prompt,
        options=_options(target.provider, config),
        **more,
    )


def _options(provider: str, config: ImagesConfig) -> dict[str, dict[str, Any]]:
    """An administrator's parameters fill what the request left open."""
    given = {
        "openai": config.images_openai_api_params,
        "azure-openai": config.images_openai_api_params,
        "automatic1111": config.automatic1111_params,
    }
    found = params(given.get(provider))
    return {provider: found} if found else {}


def _sized(request: ImageRequest, size: str, family: Family) -> ImageRequest:
    """In the configuration's size; one that the model does not take is left to the model."""
    if not size or "size" in family.ignored:
        return request
    sized = replace(request, size=size)
    try:
        with_size(sized, family, FACE)
    except InvalidInput:
        return request
    return sized
