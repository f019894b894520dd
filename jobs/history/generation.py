"""One generation as history keeps it: the document that the front end's own route has always written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from jobs.ids import org_of_one
from jobs.model.job import Event, Job
from jobs.model.request import STAGED, Blob, Source
from jobs.model.times import moment

FACE: Final = "image"
"""The face whose pictures have a history."""
LinkOf = Callable[[str], str]
"""The address of a blob of ours."""
_MADE: Final = frozenset({"image.job.succeeded", "image.job.salvaged"})
_ID_LENGTH: Final = 12


class Generation(Struct, frozen=True, kw_only=True, rename="camel"):
    """The document. `user_id` is its partition key, `id` sorts by time."""

    id: str
    user_id: str
    prompt: str
    input_images: tuple[str, ...]
    """Addresses; `sha256:…` of a picture that was sent as it is: never its bytes."""
    output_image_url: str
    created_at: str
    """RFC 3339 in UTC with milliseconds."""


def generation(job: Job, event: Event, link: LinkOf) -> Generation | None:
    """What a job's event adds to history: its picture, when it has ended with one; else None."""
    made = made_by(job)
    if made is None or event.type not in _MADE:
        return None
    user, made_id = made
    return Generation(
        id=made_id,
        user_id=user,
        prompt=job.request.prompt,
        input_images=tuple(_shown(source, link) for source in job.request.images),
        output_image_url=job.images[0].url,
        created_at=moment(job.finished_ms) or "",
    )


def made_by(job: Job) -> tuple[str, str] | None:
    """User and id of what a job has in history; None: nothing."""
    if job.face != FACE or job.finished_ms is None or not job.images:
        return None
    return user_of(job.org, job.subject), f"gen-{job.finished_ms}-{job.id[-_ID_LENGTH:]}"


def user_of(org: str, subject: str) -> str:
    """Whose history a caller's is: an email's, for who has signed in; of others the org is part of the name.

    A subject is its own org's word: another org may have one of the same name.
    """
    return subject if org == org_of_one(subject) else f"{org}/{subject}"


def _shown(source: Source, link: LinkOf) -> str:
    if not isinstance(source, Blob):
        return source.url
    return f"sha256:{source.sha256}" if source.name.startswith(STAGED) else link(source.name)
