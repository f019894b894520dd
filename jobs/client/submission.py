"""A submission made a job that is not stored yet: checked against the catalog, its input pictures staged."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from jobs.catalog.checks import check_request
from jobs.catalog.families import expected_seconds, unit_price
from jobs.encryption import Sealer
from jobs.errors import InvalidInput, InvalidPicture, ProviderUnconfigured
from jobs.ids import new_id
from jobs.model import fallback
from jobs.model.job import Job, Options, Webhook
from jobs.model.request import Blob, Fallback, ImageRequest, Link, Source, Target, Warning_
from jobs.model.times import now_ms
from jobs.outside.address import OutsideError, ascii_advice, check, parse, webhook_policy
from jobs.providers import missing
from jobs.webhooks.delivery import wanted
from jobs.webhooks.endpoint import SECRETS
from jobs.webhooks.endpoints import NO_ADDRESS

if TYPE_CHECKING:
    from jobs.catalog.checks import Checked
    from jobs.catalog.families import Catalog
    from jobs.client.inputs import InputImage, InputStager
    from jobs.settings import Settings
    from jobs.webhooks.endpoints import Endpoints


class Submission(Struct, frozen=True, kw_only=True):
    """What a caller submits: who asks, through which face, for what, and how it is to be run."""

    org: str
    subject: str
    face: str
    request: ImageRequest
    """Without its input pictures: they are `images` and `mask`, as they were handed in."""
    images: tuple[InputImage, ...] = ()
    mask: InputImage | None = None
    options: Options = Options()
    idempotency_key: str | None = None
    metadata: dict[str, str] = {}
    client_reference: str | None = None
    webhook: Webhook | None = None
    """As it was asked for: its secret is not sealed yet."""
    wait_seconds: float | None = None
    """How long the caller waits in this very request; None: it does not, or comes back for the job by itself."""
    request_id: str | None = None
    batch_id: str | None = None
    key_id: str | None = None
    """The API key by which it is asked."""
    fallbacks: tuple[Target, ...] = ()
    """Where else the job may go when its provider cannot serve it and has not charged, in this order."""
    job_id: str | None = None
    """The id that the job is to have; None: a new one."""


class Preparer:
    """Makes jobs of submissions. Raises only `errors.DarkroomError`."""

    def __init__(self, *, catalog: Catalog, inputs: InputStager, endpoints: Endpoints, settings: Settings) -> None:
        self._catalog = catalog
        self._inputs = inputs
        self._endpoints = endpoints
        self._settings = settings

    async def prepare(self, submission: Submission, *, stage: bool = True) -> Job:
        """The job of a submission, which is checked, its pictures staged, and nothing else stored."""
        named = replace(
            submission.request,
            images=tuple(map(_named, submission.images)),
            mask=submission.mask and _named(submission.mask),
        )
        checked = check_request(self._catalog, named, face=submission.face)
        self._require_provider(submission.request.provider)
        options = submission.options
        webhook = submission.webhook and await self._webhook(submission.org, submission.webhook)
        images, mask = await self._inputs.take(
            submission.org, submission.images, submission.mask, options.cancel_after, stage=stage
        )
        request = replace(checked.request, images=images, mask=mask)
        now = now_ms()
        return Job(
            id=submission.job_id or new_id("job"),
            org=submission.org,
            subject=submission.subject,
            face=submission.face,
            request=request,
            options=options,
            created_ms=now,
            updated_ms=now,
            start_by_ms=None if options.start_within is None else now + options.start_within * 1000,
            cancel_at_ms=now + options.cancel_after * 1000,
            warnings=self._warnings(checked),
            metadata=submission.metadata,
            client_reference=submission.client_reference,
            idempotency_key=submission.idempotency_key,
            adoptable=self._settings.adopt_undelivered
            and submission.wait_seconds is not None
            and submission.idempotency_key is None,
            webhook=webhook,
            fingerprint=fingerprint(request, options),
            unit_price=unit_price(request, checked.family),
            expected_seconds=expected_seconds(request, checked.family),
            batch_id=submission.batch_id,
            key_id=submission.key_id,
            fallbacks=self._fallbacks(submission, named, checked.request),
            request_id=submission.request_id,
        )

    def _fallbacks(self, submission: Submission, named: ImageRequest, before: ImageRequest) -> tuple[Fallback, ...]:
        """The further targets that are configured and can take the request, each told by what differs at it."""
        found: list[Fallback] = []
        for target in submission.fallbacks:
            there = replace(named, provider=target.provider, model=target.model)
            try:
                self._require_provider(target.provider)
                checked = check_request(self._catalog, there, face=submission.face)
            except (InvalidInput, InvalidPicture, ProviderUnconfigured):
                continue
            found.append(
                Fallback(
                    target=target,
                    changes=fallback.changes(before, checked.request),
                    warnings=self._warnings(checked),
                    unit_price=unit_price(checked.request, checked.family),
                    expected_seconds=expected_seconds(checked.request, checked.family),
                )
            )
            before = checked.request
        return tuple(found)

    def _warnings(self, checked: Checked) -> tuple[Warning_, ...]:
        provider = checked.request.provider
        if provider not in self._settings.simulated:
            return checked.warnings
        message = f"{provider} is played by the simulator: no model made this picture"
        return (*checked.warnings, Warning_(code="simulated", message=message))

    async def _webhook(self, org: str, asked: Webhook) -> Webhook:
        if asked.endpoint_id is not None:
            return await self._endpoints.named(org, asked.endpoint_id)
        webhook = wanted(asked)
        try:
            check(parse(webhook.url), webhook_policy(self._settings))
        except OutsideError:
            raise InvalidInput(f"{NO_ADDRESS}{ascii_advice(webhook.url)}", field="webhook.url") from None
        if webhook.secret is None:
            return webhook
        return replace(webhook, secret=Sealer(self._settings.derived_key(SECRETS)).seal(webhook.secret))

    def _require_provider(self, name: str) -> None:
        gap = missing(name, self._settings)
        if gap is not None:
            raise ProviderUnconfigured(name, gap)


def fingerprint(request: ImageRequest, options: Options) -> str:
    """SHA-256 (hex) of what was asked, whichever face asked it: input pictures count by their content."""
    by_content = replace(
        request,
        images=tuple(_content(s) for s in request.images),
        mask=request.mask and _content(request.mask),
    )
    canonical = msgspec.json.encode((by_content, options), order="deterministic")
    return hashlib.sha256(canonical).hexdigest()


def _content(source: Source) -> Source:
    """Staged bytes count by their digest; a picture of ours never changes under its name."""
    return replace(source, name="") if isinstance(source, Blob) and source.sha256 else source


def _named(given: InputImage) -> Source:
    """A picture that nobody has looked at yet: that there is one is all that the catalog asks."""
    return Link(given.url or "", given.media_type or "", given.anywhere)
