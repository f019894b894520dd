"""What is said beside a response's job: written before the job, and found again when the job is an earlier one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from app.services import AnyRequest, services
from jobs.client.responses import response_id_of
from jobs.errors import DarkroomError, NotFound

if TYPE_CHECKING:
    from jobs.client.responses import KeptResponse
    from jobs.model.job import Job


@asynccontextmanager
async def kept_first(request: AnyRequest, kept: KeptResponse) -> AsyncIterator[None]:
    """Within it the job is made: none is without what is said beside it, and nothing stays of a refused one."""
    await services(request).responses.put(kept)
    try:
        yield
    except DarkroomError:
        try:
            await services(request).jobs.get(kept.org, kept.job_id)
        except NotFound:
            await services(request).responses.delete(kept.org, kept.id)
        raise


async def of_job(request: AnyRequest, kept: KeptResponse, job: Job) -> KeptResponse:
    """The response of a job, which may be an earlier one: its key was known, or nobody had its result."""
    responses = services(request).responses
    if job.id == kept.job_id:
        return kept
    await responses.delete(kept.org, kept.id)
    earlier = await responses.of_job(kept.org, job.id)
    if earlier is None:
        earlier = replace(kept, id=response_id_of(job.id))
        await responses.put(earlier)
    return earlier
