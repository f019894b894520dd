"""The body of a new job, and the submission that it makes: one by one, or many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from app.http.caller import permitted
from app.http.input_images import Mask, ReferenceImage, mask, reference
from app.http.job_headers import checked_options, client_reference
from jobs.client.submission import Submission
from jobs.errors import InvalidInput, InvalidPicture
from jobs.model.choices import Include, OnAmbiguous, Priority, one_of
from jobs.model.job import Options, Webhook
from jobs.model.metadata import checked_metadata
from jobs.model.request import ImageRequest
from jobs.webhooks.delivery import ENDINGS

if TYPE_CHECKING:
    from app.auth.caller import Caller
    from jobs.client.inputs import InputImage

FACE: Final = "jobs"
MAX_PICTURES: Final = 10
MAX_REFERENCES: Final = 16
MAX_STEPS: Final = 150
MAX_OPTIONS_BYTES: Final = 16 * 1024
"""Of all providers' options as JSON: they are part of the job's record, which is written with every move."""


class NewWebhook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """Where the job's news are to be posted: an endpoint of the org by its id alone, or an address.

    Without a secret they are signed by our own key (`v1a`).
    """

    endpoint_id: str | None = None
    url: str | None = None
    secret: str | None = None
    events: list[str] | None = None
    include: str = "full"


class NewJob(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """The body: what face 0 takes, further knobs of the picture, and how the job is to be run."""

    provider: str
    model: str
    prompt: str
    n: int = 1
    size: str | None = None
    quality: str | None = None
    style: str | None = None
    negative_prompt: str | None = None
    background: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    seed: int | None = None
    steps: int | None = None
    moderation: str | None = None
    input_fidelity: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    partial_images: int | None = None
    reference_image: ReferenceImage | None = None
    reference_images: list[ReferenceImage] | None = None
    mask: Mask | None = None
    options: dict[str, dict[str, Any]] = {}
    priority: str | None = None
    start_within: int | None = None
    cancel_after: int | None = None
    max_queue_position: int | None = None
    on_ambiguous: str | None = None
    max_calls: int | None = None
    store_inputs: bool | None = None
    expires_after: int | None = None
    metadata: dict[str, str] = {}
    client_reference: str | None = None
    webhook: NewWebhook | None = None


def new_submission(caller: Caller, body: NewJob, options: Options, request_id: str) -> Submission:
    """What the body asks; it holds against `options`, those of the headers. Raises `DarkroomError` naming the field."""
    return Submission(
        org=caller.org,
        subject=caller.subject,
        face=FACE,
        request=permitted(caller, _image_request(body)),
        images=_references(body),
        mask=None if body.mask is None else mask(body.mask),
        options=_options(body, options),
        metadata=checked_metadata(body.metadata),
        client_reference=client_reference(body.client_reference, "clientReference"),
        webhook=None if body.webhook is None else _webhook(body.webhook),
        request_id=request_id,
        key_id=caller.key_id,
    )


def _image_request(body: NewJob) -> ImageRequest:
    for name, value, least, most in (
        ("n", body.n, 1, MAX_PICTURES),
        ("steps", body.steps, 1, MAX_STEPS),
        ("outputCompression", body.output_compression, 0, 100),
        ("seed", body.seed, 0, 2**53),
    ):
        if value is not None and not least <= value <= most:
            raise InvalidInput(f"must be {least} to {most}", field=name)
    if len(msgspec.json.encode(body.options)) > MAX_OPTIONS_BYTES:
        raise InvalidInput(f"may have at most {MAX_OPTIONS_BYTES} bytes", field="options")
    names = ImageRequest.__struct_fields__
    fields = {name: getattr(body, name) for name in body.__struct_fields__ if name in names and name != "mask"}
    return ImageRequest(**fields)


def _references(body: NewJob) -> tuple[InputImage, ...]:
    one, several = body.reference_image, body.reference_images
    if one is not None and several is not None:
        raise InvalidPicture("give either referenceImage or referenceImages", field="referenceImages")
    if one is not None:
        return (reference(one, "referenceImage"),)
    if several is not None and not 1 <= len(several) <= MAX_REFERENCES:
        raise InvalidPicture(f"must be 1 to {MAX_REFERENCES} pictures", field="referenceImages")
    return tuple(reference(image, f"referenceImages[{i}]") for i, image in enumerate(several or ()))


def _webhook(asked: NewWebhook) -> Webhook:
    if asked.endpoint_id is not None:
        if asked != NewWebhook(endpoint_id=asked.endpoint_id):
            raise InvalidInput("stands alone: all else is the endpoint's own", field="webhook.endpointId")
        return Webhook(url="", events=(), endpoint_id=asked.endpoint_id)
    if asked.url is None:
        raise InvalidInput("is missing: give a url, or an endpointId", field="webhook.url")
    events = ENDINGS if asked.events is None else tuple(asked.events)
    return Webhook(
        url=asked.url, events=events, include=one_of(Include, asked.include, "webhook.include"), secret=asked.secret
    )


def _options(body: NewJob, options: Options) -> Options:
    told = {name: getattr(body, name) for name in Options.__struct_fields__ if getattr(body, name, None) is not None}
    for name, choices in (("priority", Priority), ("on_ambiguous", OnAmbiguous)):
        if name in told:
            told[name] = one_of(choices, told[name], _OPTION_NAMES[name])
    return checked_options(msgspec.structs.replace(options, **told), _OPTION_NAMES)


_OPTION_NAMES: Final = {
    "priority": "priority",
    "on_ambiguous": "onAmbiguous",
    "max_calls": "maxCalls",
    "start_within": "startWithin",
    "cancel_after": "cancelAfter",
    "max_queue_position": "maxQueuePosition",
    "expires_after": "expiresAfter",
}
