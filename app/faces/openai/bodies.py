"""What an OpenAI client asks, in JSON or as a form, read into what the core understands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from app.http.base64_fields import Base64Text
from app.http.input_images import pointed
from app.http.json_body import converted, read_json
from app.http.multipart import MEDIA_TYPE, Part, read_form
from jobs.client.inputs import InputImage
from jobs.errors import InvalidInput, InvalidPicture
from jobs.model.request import ImageRequest, Target

if TYPE_CHECKING:
    from app.services import AnyRequest

MAX_PICTURES: Final = 10
MAX_PARTIALS: Final = 3
MAX_REFERENCES: Final = 16
MAX_USER_LENGTH: Final = 512
FORMATS: Final = ("url", "b64_json")


class Generation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of `images.generate` in the official SDKs; what is null was not asked for.

    `stream` sends events, `async` answers at once with where the job is to be found.
    """

    prompt: str
    model: str | None = None
    n: int | None = None
    size: str | None = None
    quality: str | None = None
    style: str | None = None
    response_format: str | None = None
    background: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    moderation: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    stream: bool | None = None
    partial_images: int | None = None
    asynchronous: bool | None = field(default=None, name="async")


class EditFields(Generation, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Those of `images.edit`, apart from its files."""

    input_fidelity: str | None = None


class Pointed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A picture in a JSON body: an https address, a `data:` URL, or an uploaded file by its id."""

    image_url: Base64Text | None = None
    file_id: str | None = None


class Edit(EditFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON body of an edit; `image` may be a string or a list of them, as well."""

    images: list[Pointed]
    mask: Pointed | None = None


class ImagesRequest(Struct, frozen=True, kw_only=True):
    """What was asked, checked as far as that goes without knowing the model."""

    model: str
    fields: Generation
    images: tuple[InputImage, ...] = ()
    mask: InputImage | None = None

    @property
    def streams(self) -> bool:
        """Whether events are to be sent."""
        return bool(self.fields.stream)

    def request(self, target: Target) -> ImageRequest:
        """The same in the words of the core, for one provider."""
        shared = {name: value for name, value in asdict(self.fields).items() if name in _SHARED and value is not None}
        partials = self.fields.partial_images if self.streams else None
        return ImageRequest(
            provider=target.provider, partial_images=partials or None, **{**shared, "model": target.model}
        )


async def read_generation(request: AnyRequest, model: str | None) -> ImagesRequest:
    """The body of a generation; `model` is the one of the path. Raises `DarkroomError` naming the field."""
    body = await read_json(request, Generation, reshape=_without_nulls)
    return ImagesRequest(model=_model(body, model), fields=_checked(body))


async def read_edit(request: AnyRequest, model: str | None) -> ImagesRequest:
    """The body of an edit, a form or JSON. Raises `DarkroomError` naming the field."""
    if request.headers.get("content-type", "").lower().startswith(MEDIA_TYPE):
        return _form_edit(await read_form(request), model)
    body = await read_json(request, Edit, reshape=_edit_reshaped)
    images_request = ImagesRequest(model=_model(body, model), fields=_checked(body))
    _check_count(body.images)
    images = tuple(handed_in(picture, f"image[{i}]") for i, picture in enumerate(body.images))
    return replace(
        images_request, images=_named(images), mask=None if body.mask is None else handed_in(body.mask, "mask")
    )


def _form_edit(parts: Sequence[Part], model: str | None) -> ImagesRequest:
    texts: dict[str, Any] = {}
    images: list[Part] = []
    masks: list[Part] = []
    for part in parts:
        if part.text == "":
            continue
        if _IMAGE.fullmatch(part.name):
            images.append(part)
        elif _MASK.fullmatch(part.name):
            masks.append(part)
        elif part.text is None:
            raise InvalidInput("is no file that is taken here", field=part.name[:64], reason="unknown_field")
        elif part.name in texts:
            raise InvalidInput("is given twice", field=part.name[:64])
        else:
            texts[part.name] = part.text
    if len(masks) > 1:
        raise InvalidPicture("must be one picture", field="mask")
    fields = converted(texts, EditFields, strict=False)
    images_request = ImagesRequest(model=_model(fields, model), fields=_checked(fields))
    _check_count(images)
    given = tuple(_file(part, f"image[{i}]") for i, part in enumerate(images))
    return replace(images_request, images=_named(given), mask=_file(masks[0], "mask") if masks else None)


def _file(part: Part, place: str) -> InputImage:
    if part.text is not None:
        return handed_in(Pointed(image_url=Base64Text(part.text)), place)
    return InputImage(field=place, data=part.data)


def handed_in(picture: Pointed, place: str) -> InputImage:
    """A picture as it was handed in; `place` is its place in the body. Raises `InvalidPicture`, `PayloadTooLarge`."""
    if picture.file_id is not None and picture.image_url is None:
        return InputImage(field=place, file_id=picture.file_id)
    if picture.image_url is None or picture.file_id is not None:
        raise InvalidPicture("give either image_url (https or data:) or file_id", field=f"{place}.image_url")
    return pointed(picture.image_url, place)


def _check_count(images: Sequence[object]) -> None:
    if not images:
        raise InvalidPicture("is required", field="image", reason="missing_field")
    if len(images) > MAX_REFERENCES:
        raise InvalidPicture(f"may be at most {MAX_REFERENCES} pictures", field="image")


def _named(images: tuple[InputImage, ...]) -> tuple[InputImage, ...]:
    """A single picture is `image`, without a number."""
    return images if len(images) > 1 else (replace(images[0], field="image"),)


def _model(body: Generation, of_the_path: str | None) -> str:
    name = of_the_path or body.model
    if not name:
        raise InvalidInput("is required", field="model", reason="missing_field")
    return name


def _checked(body: Generation) -> Generation:
    for name, least, most in (
        ("n", 1, MAX_PICTURES),
        ("output_compression", 0, 100),
        ("partial_images", 0, MAX_PARTIALS),
    ):
        value = getattr(body, name)
        if value is not None and not least <= value <= most:
            raise InvalidInput(f"must be {least} to {most}", field=name)
    for name in ("user", "safety_identifier"):
        if len(getattr(body, name) or "") > MAX_USER_LENGTH:
            raise InvalidInput(f"must be at most {MAX_USER_LENGTH} characters", field=name)
    if body.response_format not in {None, *FORMATS}:
        raise InvalidInput(f"must be {' or '.join(FORMATS)}", field="response_format")
    if body.partial_images and not body.stream:
        raise InvalidInput("needs stream: true", field="partial_images")
    if body.stream and body.response_format == "url":
        raise InvalidInput("a stream brings base64: leave it out", field="response_format")
    if body.stream and body.asynchronous:
        raise InvalidInput("cannot go with stream", field="async")
    return body


def _without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    """Some clients send every parameter that they know, with null for those that nobody set."""
    return {name: value for name, value in fields.items() if value is not None}


def _edit_reshaped(fields: dict[str, Any]) -> dict[str, Any]:
    """`image` and `mask` as strings, and lists of strings, in the form of OpenAI's JSON body."""
    fields = _without_nulls(fields)
    if "image" in fields and "images" not in fields:
        given = fields.pop("image")
        fields["images"] = given if isinstance(given, list) else [given]
    if isinstance(fields.get("images"), list):
        fields["images"] = [{"image_url": p} if isinstance(p, str) else p for p in fields["images"]]
    if isinstance(fields.get("mask"), str):
        fields["mask"] = {"image_url": fields["mask"]}
    return fields


_SHARED: Final = frozenset(ImageRequest.__struct_fields__) - {"model", "images", "mask", "partial_images", "provider"}
_IMAGE: Final = re.compile(r"images?(\[\d{0,2}\])?")
_MASK: Final = re.compile(r"mask(\[\])?")
