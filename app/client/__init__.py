"""The Python client of a gateway: `Darkroom`, and `AsyncDarkroom` with the same methods."""

from app.client.async_client import AsyncDarkroom
from app.client.client import Darkroom
from app.client.errors import ApiError, DarkroomError, JobFailed, SignatureInvalid, StillRunning, Unreachable
from app.client.job import Event, Image, Job
from app.client.webhook import verify_webhook

__all__ = [
    "ApiError",
    "AsyncDarkroom",
    "Darkroom",
    "DarkroomError",
    "Event",
    "Image",
    "Job",
    "JobFailed",
    "SignatureInvalid",
    "StillRunning",
    "Unreachable",
    "verify_webhook",
]
