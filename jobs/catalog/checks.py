"""Whether a request is one that its model can do, and what is to be said where it is not quite."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from jobs.catalog.families import FORMATS, MODEL_NAME, Catalog, Family, listed
from jobs.catalog.sizes import with_size
from jobs.errors import InvalidInput, InvalidPicture
from jobs.model.request import ImageRequest, Warning_

_ATTRIBUTES: Final = {
    "size": "size",
    "quality": "quality",
    "style": "style",
    "negativePrompt": "negative_prompt",
    "background": "background",
    "outputFormat": "output_format",
    "outputCompression": "output_compression",
    "seed": "seed",
    "steps": "steps",
    "moderation": "moderation",
    "inputFidelity": "input_fidelity",
    "user": "user",
    "safetyIdentifier": "safety_identifier",
    "partialImages": "partial_images",
}
"""Fields of a request by the names that callers know."""
_OF_THE_CALLER: Final = frozenset({"user", "safetyIdentifier"})
"""Dropped without a word where a provider has no such thing: who asks changes nothing of the picture."""
_MAX_IDENTIFIER: Final = 512
"""Characters of `user` and `safetyIdentifier`."""
_MAX_PARTIAL_IMAGES: Final = 3


class Checked(Struct, frozen=True):
    """A request that its model can serve, as it will be sent, and what was changed or ignored on the way."""

    request: ImageRequest
    family: Family
    warnings: tuple[Warning_, ...]


def check_request(catalog: Catalog, request: ImageRequest, *, face: str) -> Checked:
    """Hold a request against its family. Raises `InvalidInput`, `InvalidPicture`, each naming the field."""
    if not MODEL_NAME.fullmatch(request.model):
        raise InvalidInput("must be 1 to 128 letters, digits, '.', '_' or '-'", field="model")
    family = catalog.family(request.provider, request.model)
    request, ignored = _without_ignored(request, family)
    _check_words(request, family)
    _check_choices(request, family)
    _check_pictures(request, family)
    request, mapped = with_size(request, family, face)
    return Checked(request, family, (*ignored, *mapped))


def _without_ignored(request: ImageRequest, family: Family) -> tuple[ImageRequest, list[Warning_]]:
    if request.partial_images == 0:
        request = replace(request, partial_images=None)
    message = f"{request.provider} ({request.model}) does not take it"
    reasons = dict.fromkeys(family.ignored, message)
    if not request.images:
        reasons.setdefault("inputFidelity", "there is no reference image to keep to")
    given = [f for f in reasons if getattr(request, _ATTRIBUTES[f]) is not None]
    warnings = [
        Warning_(code="ignored_option", field=f, message=f"{f}: {reasons[f]}") for f in given if f not in _OF_THE_CALLER
    ]
    return replace(request, **{_ATTRIBUTES[f]: None for f in given}), warnings


def _check_words(request: ImageRequest, family: Family) -> None:
    if not request.prompt.strip():
        raise InvalidInput("must not be empty", field="prompt")
    if len(request.prompt) > family.max_prompt:
        raise InvalidInput(f"must be at most {family.max_prompt} characters", field="prompt")
    for field in ("user", "safetyIdentifier"):
        if len(getattr(request, _ATTRIBUTES[field]) or "") > _MAX_IDENTIFIER:
            raise InvalidInput(f"must be at most {_MAX_IDENTIFIER} characters", field=field)


def _check_choices(request: ImageRequest, family: Family) -> None:
    for field, value, allowed in (
        ("quality", request.quality, family.qualities),
        ("style", request.style, family.styles),
        ("outputFormat", request.output_format, FORMATS),
        ("background", request.background, family.backgrounds),
        ("moderation", request.moderation, ("auto", "low")),
        ("inputFidelity", request.input_fidelity, ("low", "high")),
    ):
        if value is not None and allowed is not None and value not in allowed:
            raise InvalidInput(f"{request.model} takes {listed(allowed)}", field=field)
    if request.background == "transparent" and request.output_format == "jpeg":
        raise InvalidInput("a transparent background needs png or webp", field="background")
    if request.output_compression is not None and request.output_format not in {"jpeg", "webp"}:
        raise InvalidInput("needs outputFormat jpeg or webp", field="outputCompression")
    if not 0 <= (request.partial_images or 0) <= _MAX_PARTIAL_IMAGES:
        raise InvalidInput(f"must be 0 to {_MAX_PARTIAL_IMAGES}", field="partialImages")


def _check_pictures(request: ImageRequest, family: Family) -> None:
    if request.images and not family.edit:
        message = f"{request.model} takes no reference image: use gpt-image-2"
        raise InvalidPicture(message, field="referenceImage")
    if len(request.images) > family.max_references > 0:
        raise InvalidPicture(f"{request.model} takes at most {family.max_references}", field="referenceImages")
    if request.mask is not None and not request.images:
        raise InvalidPicture("a mask needs a referenceImage", field="mask")
    if request.mask is not None and not family.mask:
        raise InvalidPicture(f"{request.provider} takes no mask: use azure-openai", field="mask")
