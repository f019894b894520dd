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
    from jobs.catalog.families import Catalog

FACE: Final = "openwebui"


def generation_request(form: Generation, target: Target, config: ImagesConfig, catalog: Catalog) -> ImageRequest:
    """A picture of words. What the form leaves open is as the configuration has it, where the model takes that."""
    family = catalog.family(target.provider, target.model)
    request = _request(form, target, config, n=form.n)
    return _fitted(
        request,
        catalog,
        size=form.size or config.image_size,
        asked=form.size,
        steps=form.steps or (config.image_steps if "steps" not in family.ignored else None) or None,
    )


def edit_request(form: Edit, target: Target, config: ImagesConfig, catalog: Catalog) -> ImageRequest:
    """A picture of pictures, which are not in the request yet."""
    request = _request(form, target, config, n=form.n or 1, background=form.background)
    return _fitted(request, catalog, size=form.size or config.image_edit_size, asked=form.size, steps=None)


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


def _fitted(
    request: ImageRequest, catalog: Catalog, *, size: str, asked: str | None, steps: int | None
) -> ImageRequest:
    """With its size: one that nobody asked for, and that the model does not take, is left to the model."""
    sized = replace(request, size=size or None, steps=steps)
    if asked:
        return sized
    try:
        with_size(sized, catalog.family(request.provider, request.model), FACE)
    except InvalidInput:
        return replace(sized, size=None)
    return sized
