"""What the client raises: one tree, on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.client.job import Job


class DarkroomError(Exception):
    """Whatever went wrong between here and the picture."""


class Unreachable(DarkroomError):
    """The gateway did not answer, however often it was asked. What was asked may have come to it."""


class ApiError(DarkroomError):
    """The gateway refused, with an HTTP status and a code of its own; `details` may name the `field`."""

    def __init__(self, status: int, code: str, message: str, details: dict[str, Any], request_id: str | None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.request_id = request_id


class JobFailed(DarkroomError):
    """The job ended without succeeding; `job` has all that is known of it, a salvaged picture, too."""

    def __init__(self, job: Job) -> None:
        why = f": {job.error.message}" if job.error else ""
        super().__init__(f"job {job.id} {job.status}{why}")
        self.job = job


class StillRunning(DarkroomError):
    """The wait is over and the job is not: it goes on, and may be waited for again."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} is still {job.status}: wait for it again")
        self.job = job


class SignatureInvalid(DarkroomError):
    """A webhook is not the gateway's, or not as it was sent, or too old."""
