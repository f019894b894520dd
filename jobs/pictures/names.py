"""What a job's pictures are called wherever they are kept: known before they are made."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from jobs.pictures.heads import EXTENSIONS

if TYPE_CHECKING:
    from jobs.model.job import Job

_NAMESPACE: Final = uuid.UUID("5b0d7a53-9f1e-5d7c-8c55-6d9a7a3f2b10")
"""The UUIDv5 namespace (RFC 9562) of our pictures: a call of a job names each of its pictures for good."""


def stem_of(job: Job, call: int, index: int) -> str:
    """How the name begins; the picture's kind gives the end."""
    day = datetime.fromtimestamp(job.created_ms / 1000, UTC).date().isoformat()
    return f"images/{job.org}/{day}/{uuid.uuid5(_NAMESPACE, f'{job.id}/{call}/{index}')}"


def unusable_name(job: Job) -> str:
    """A new name for bytes that are no picture: no link leads there."""
    return f"unusable/{job.org}/{job.id}/{uuid.uuid4()}.bin"


def names_of(job: Job, call: int, index: int) -> tuple[str, ...]:
    """Each name that the picture can have."""
    stem = stem_of(job, call, index)
    return tuple(f"{stem}.{extension}" for extension in EXTENSIONS.values())
