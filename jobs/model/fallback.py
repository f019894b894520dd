"""Going on elsewhere: when a job may leave its provider, and what it is at the next one."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from jobs.errors import InvalidInput, InvalidPicture
from jobs.model.job import Attempt, Job
from jobs.model.request import ImageRequest, Target, Warning_

SHUT: Final = "it has failed too often in a row"
"""Why a job goes on elsewhere before it was tried: the circuit breaker is open."""
CLOSED: Final = "it takes no calls just now"
"""The same where a worker finds it so: by the breaker, or by the provider's own word of when to come back."""


def allowed(job: Job) -> bool:
    """Whether the job may go on at its next target.

    Nothing can have been charged so far, and no provider has found fault with the request itself, which is the
    caller's own to mend: the next one would be asked to draw what this one refused.
    """
    return bool(job.fallbacks) and not job.images and all(map(is_nobodys_loss, job.attempts))


def redirected(job: Job, why: str) -> Job:
    """The job as its next target takes it. What was said of the request at this one does not hold there."""
    following, *rest = job.fallbacks
    request = replace(
        job.request, provider=following.target.provider, model=following.target.model, **following.changes
    )
    told = f"{_name(job.request)} could not make it ({why}): it went on to {_name(request)}"
    before = tuple(w for w in job.warnings if w.code == _CODE)
    return replace(
        job,
        request=request,
        fallbacks=tuple(rest),
        warnings=(*before, Warning_(code=_CODE, message=told), *following.warnings),
        unit_price=following.unit_price,
        expected_seconds=following.expected_seconds,
    )


def is_nobodys_loss(row: Attempt) -> bool:
    """Whether a call has ended that was not charged, and that another target or account might have served."""
    faulted = (
        row.failure is not None and row.failure.code in _CALLERS_OWN and row.failure.reason != "model_not_found"
    )  # a target without its model is the route's fault, not the caller's
    return row.ended_ms is not None and row.charged is False and not faulted


def left_behind(job: Job, row: Attempt) -> bool:
    """Whether a call went to a target that the job has left, which it only does when nothing was charged."""
    here = Target(job.request.provider, job.request.model)
    return row.charged is False and bool(row.provider) and Target(row.provider, row.model) != here


def changes(before: ImageRequest, after: ImageRequest) -> dict[str, Any]:
    """The fields of a request that differ from one target to the next, beside provider and model."""
    names = (name for name in after.__struct_fields__ if name not in _EVERYWHERE)
    return {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}


_CODE: Final = "fallback"
_CALLERS_OWN: Final = frozenset({InvalidInput.code, InvalidPicture.code})
_EVERYWHERE: Final = frozenset({"provider", "model", "images", "mask"})
"""The targets' own, and pictures, which are the same at each."""


def _name(request: ImageRequest) -> str:
    return f"{request.provider} ({request.model})"
