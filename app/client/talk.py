"""What client and gateway say to each other, without a connection: each talk yields calls and is sent their answers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Mapping
from typing import Any, Final, TypeVar

import httpx
import msgspec
from msgspec import Struct

from app.client.errors import ApiError, JobFailed, StillRunning, Unreachable
from app.client.job import Event, Job

JOBS: Final = "/api/v1/jobs"
MAX_WAIT_SECONDS: Final = 60.0
"""The longest that the gateway lets one request wait for a job."""
_AGAIN: Final = frozenset({429, 502, 503, 504})
"""Statuses after which the same is asked again."""
_MAX_PAUSE_SECONDS: Final = 8.0


class Call(Struct, frozen=True, kw_only=True):
    """One request. It may be sent again after a cut: a POST has an idempotency key."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: Any = None
    seconds: float = 0
    """How long the gateway may wait before it answers."""

    @property
    def words(self) -> dict[str, Any]:
        """As httpx is told it."""
        body = {} if self.body is None else {"content": msgspec.json.encode(self.body)}
        kind = {} if self.body is None else {"Content-Type": "application/json"}
        told = {"method": self.method, "url": self.path, "params": self.query, "headers": {**self.headers, **kind}}
        return told | body


T = TypeVar("T")
Talk = Generator[Call, httpx.Response, T]


def create(body: dict[str, Any], key: str | None, wait: float) -> Talk[Job]:
    """Ask for a picture, and wait so many seconds for it."""
    headers = {"Idempotency-Key": key or f"py-{secrets.token_hex(16)}"}
    if wait >= 1:
        headers["Prefer"] = f"wait={min(wait, MAX_WAIT_SECONDS):.0f}"
    answer = yield Call(method="POST", path=JOBS, headers=headers, body=body, seconds=wait)
    return job_of(answer)


def wait(job_id: str, seconds: float) -> Talk[Job]:
    """The job at its end. Raises `StillRunning` after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        now = max(0.0, min(MAX_WAIT_SECONDS, end - time.monotonic()))
        query = {"wait": f"{now:.0f}", "until": "terminal"}
        answer = yield Call(method="GET", path=f"{JOBS}/{job_id}", query=query, seconds=now)
        job = job_of(answer)
        if job.ended:
            return job
        if time.monotonic() >= end:
            raise StillRunning(job)


def generate(body: dict[str, Any], key: str | None, seconds: float) -> Talk[Job]:
    """Ask, and wait for the picture. Raises `JobFailed`, `StillRunning`."""
    end = time.monotonic() + seconds
    job = yield from create(body, key, seconds)
    if not job.ended:
        job = yield from wait(job.id, end - time.monotonic())
    if job.status != "succeeded":
        raise JobFailed(job)
    return job


def get(job_id: str) -> Talk[Job]:
    """The job as it stands."""
    return job_of((yield Call(method="GET", path=f"{JOBS}/{job_id}")))


def cancel(job_id: str) -> Talk[Job]:
    """Ask for the job to be canceled."""
    return job_of((yield Call(method="POST", path=f"{JOBS}/{job_id}/cancel")))


def erase(job_id: str) -> Talk[None]:
    """Forget the job and its pictures."""
    yield Call(method="DELETE", path=f"{JOBS}/{job_id}")


def content(job_id: str, index: int) -> Talk[bytes]:
    """The bytes of one of its pictures."""
    return (yield Call(method="GET", path=f"{JOBS}/{job_id}/content", query={"index": str(index)})).content


def page(query: Mapping[str, str]) -> Talk[tuple[list[Job], str | None]]:
    """Jobs, newest first, and the cursor of those that come after."""
    data = data_of((yield Call(method="GET", path=JOBS, query=query)))
    return [msgspec.convert(job, Job) for job in data["jobs"]], data["cursor"]


def data_of(answer: httpx.Response) -> Any:
    """The `data` of an answer that is good."""
    return msgspec.json.decode(answer.content)["data"]


def job_of(answer: httpx.Response) -> Job:
    """The job that an answer tells of."""
    return msgspec.convert(data_of(answer), Job)


def error_of(answer: httpx.Response) -> ApiError:
    """Why the gateway, or what stands before it, refused."""
    try:
        told = msgspec.json.decode(answer.content)["error"]
        code, message, details = str(told["code"]), str(told["message"]), dict(told.get("details") or {})
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        code, message, details = f"HTTP_{answer.status_code}", answer.reason_phrase or "no answer of a gateway", {}
    return ApiError(answer.status_code, code, message, details, answer.headers.get("x-request-id"))


class Tries:
    """How often one call was sent, and whether it is sent again: for so many seconds after the first time."""

    def __init__(self, patience: float) -> None:
        self._end = time.monotonic() + patience
        self._pause = 0.25

    def after(self, answer: httpx.Response) -> float | None:
        """The seconds before the same is sent again; None: it was answered. Raises `ApiError`."""
        if answer.is_success:
            return None
        told = answer.headers.get("retry-after", "")
        pause = self._next(float(told) if told.isdigit() else None)
        if answer.status_code in _AGAIN and time.monotonic() + pause < self._end:
            return pause
        raise error_of(answer)

    def after_cut(self, error: httpx.TransportError) -> float:
        """The seconds before it is sent again. Raises `Unreachable`."""
        pause = self._next(None)
        if time.monotonic() + pause < self._end:
            return pause
        raise Unreachable(f"{error.request.url.copy_with(query=None)}: {error or type(error).__name__}") from error

    def _next(self, told: float | None) -> float:
        pause, self._pause = self._pause, min(_MAX_PAUSE_SECONDS, 2 * self._pause)
        return pause if told is None else told


def stream(job_id: str, seen: int | None) -> dict[str, Any]:
    """The events of a job after the one that was seen last, as httpx is told it."""
    headers = {"Accept": "text/event-stream", **({} if seen is None else {"Last-Event-ID": str(seen)})}
    return {"url": f"{JOBS}/{job_id}/events", "headers": headers}


class Frames:
    """The events of a stream (WHATWG HTML 9.2), line by line."""

    def __init__(self) -> None:
        self._data = ""

    def take(self, line: str) -> Event | None:
        """The event that a line ends."""
        if line.startswith("data:"):
            self._data += line[5:].removeprefix(" ")
        elif not line and self._data:
            data, self._data = self._data, ""
            return msgspec.json.decode(data, type=Event)
        return None
