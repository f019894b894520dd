"""A response as server-sent events, in OpenAI's order: an event has the same number whenever it is asked for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pybase64
from anyio import CancelScope
from anyio.lowlevel import checkpoint
from litestar import Response
from litestar.response import Stream
from msgspec.structs import replace

from app.faces.openai.answers import around_base64
from app.faces.openai.errors import error_json
from app.faces.openai.responses.items import call_id, call_json, message_id, message_json, message_text
from app.faces.openai.responses.keeping import kept_first, of_job
from app.faces.openai.responses.rendering import response_json
from app.http.base64_answers import written
from app.http.problems import remember_job
from app.http.sse import MEDIA_TYPE, PING_SECONDS, OpenStream, open_stream
from app.http.wait import replay_headers
from app.services import AnyRequest, services
from jobs.errors import DarkroomError, NotFound
from jobs.model.job import Job

if TYPE_CHECKING:
    from app.faces.openai.responses.context import Asked
    from jobs.client.pictures import PictureReader
    from jobs.client.responses import KeptResponse
    from jobs.model.picture import Image

WAIT_SECONDS: Final = 300
"""Should this process crash, whoever asks the same again gets the job's picture after so long."""
KEEP_ALIVE: Final = b": keep-alive\n\n"
_CALL: Final = "response.image_generation_call"
_ITEM: Final = "response.output_item"
_PART: Final = "response.content_part"
_TEXT: Final = "response.output_text"
_ENDS: Final = {"completed": "response.completed", "failed": "response.failed"}
"""The last event by the status of the response; OpenAI has none of its own for one that was cancelled."""


async def streamed(request: AnyRequest, found: Asked) -> Response[Any]:
    """Submit and follow. What is refused is an answer with its own status; what fails later is an event."""
    submission = found.submission
    opened = open_stream(request, submission.org, submission.subject)
    if not found.kept.background:
        submission = replace(submission, wait_seconds=float(min(submission.options.cancel_after, WAIT_SECONDS)))
    async with kept_first(request, found.kept):
        submitted = await services(request).submitter.submit(submission)
    del submission  # the stream may be long: the pictures in hand are not kept for it
    remember_job(request, submitted.job.id)
    kept = await of_job(request, found.kept, submitted.job)
    return follow(request, kept, submitted.job, opened, headers=replay_headers(submitted))


def follow(  # noqa: PLR0913  # whose events, to whom, and from where on
    request: AnyRequest,
    kept: KeptResponse,
    job: Job,
    opened: OpenStream,
    *,
    after: int = -1,
    headers: dict[str, str] | None = None,
) -> Response[Any]:
    """The events of a response, those numbered above `after`."""
    told = {"X-Job-Id": job.id, "X-Accel-Buffering": "no", "Cache-Control": "no-store", **(headers or {})}
    pieces = opened.pieces(_open(request, _Events(services(request).pictures, kept, job, after)), last=_NO_CREDENTIAL)
    return Stream(pieces, status_code=200, headers=told, media_type=MEDIA_TYPE)


async def _open(request: AnyRequest, events: _Events) -> AsyncGenerator[bytes, None]:
    jobs = services(request).jobs
    try:
        await checkpoint()  # whoever left while the job was made is noticed here
        async for piece in _frames(request, events):
            if piece:
                yield piece
    except BaseException:
        with CancelScope(shield=True):
            await jobs.caller_left(events.job)
        raise
    with CancelScope(shield=True):
        await (jobs.result_taken(events.job) if events.job.status.terminal else jobs.caller_left(events.job))


async def _frames(request: AnyRequest, events: _Events) -> AsyncIterator[bytes]:
    """Every event as it comes. Ends without the last one when this process stops: the client goes on elsewhere."""
    jobs, job = services(request).jobs, events.job
    for piece in events.opening():
        yield piece
    try:
        async for event in jobs.follow(job, 0, PING_SECONDS):
            if event is None:
                yield KEEP_ALIVE
                continue
            async for piece in events.of(event):
                yield piece
        events.job = await jobs.get(job.org, job.id)
        if events.job.status.terminal:
            async for piece in events.ending():
                yield piece
    except DarkroomError as error:  # no frame is open, so it can be told
        yield _error(error)


class _Events:
    """The events of one response in their order. Each has its number, also where it is not sent again."""

    def __init__(self, pictures: PictureReader, kept: KeptResponse, job: Job, after: int) -> None:
        self.job = job
        self._pictures = pictures
        self._kept = kept
        self._after = after
        self._number = -1
        self._begun = False

    def opening(self) -> list[bytes]:
        """What is known when there is a job."""
        if self._kept.background:
            return [self._about("response.created", "queued"), self._about("response.queued", "queued")]
        return [self._about("response.created", "in_progress"), self._about("response.in_progress", "in_progress")]

    async def of(self, event: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """What an event of the job is here: its start and its previews are told."""
        if event["type"] == "image.job.started":
            for piece in self.begin():
                yield piece
        elif event["type"] == "image.job.preview":
            async for piece in self.partial(event["data"]["preview"]):
                yield piece

    def begin(self) -> list[bytes]:
        """The call of the tool begins, once, however often the job is begun."""
        if self._begun:
            return []
        self._begun = True
        item = {**call_json(self._kept, self.job), "status": "in_progress", "result": None}
        item.pop("error", None)
        return [
            *([self._about("response.in_progress", "in_progress")] if self._kept.background else []),
            self._frame(f"{_ITEM}.added", output_index=0, item=item),
            self._frame(f"{_CALL}.in_progress", output_index=0, item_id=call_id(self.job)),
            self._frame(f"{_CALL}.generating", output_index=0, item_id=call_id(self.job)),
        ]

    async def partial(self, preview: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """A preview; one that is gone by now is left out, and keeps its number."""
        if self._number < self._after:
            self._number += 1
            return
        try:
            data = await self._pictures.read(preview["url"])
        except NotFound:
            self._number += 1
            return
        yield self._frame(
            f"{_CALL}.partial_image",
            output_index=0,
            item_id=call_id(self.job),
            partial_image_index=preview["partialIndex"],
            size=f"{preview['width']}x{preview['height']}",
            quality=self.job.request.quality or "auto",
            background=self.job.request.background or "auto",
            output_format=(preview.get("mimeType") or "image/png").removeprefix("image/"),
            partial_image_b64=pybase64.b64encode_as_string(data),
        )

    async def ending(self) -> AsyncIterator[bytes]:
        """The picture and the message beside it, or why there is none; then the whole response."""
        job = self.job
        image = job.images[0] if job.images else None
        for piece in self.begin() if image is not None else ():
            yield piece
        if image is not None:
            yield self._frame(f"{_CALL}.completed", output_index=0, item_id=call_id(job))
        if self._begun:
            item = call_json(self._kept, job)
            async for piece in self._with(image, f"{_ITEM}.done", output_index=0, item=item):
                yield piece
        for piece in self._message() if image is not None else ():
            yield piece
        whole = response_json(self._kept, job)
        name = _ENDS.get(whole["status"], "response.incomplete")
        async for piece in self._with(image, name, response=whole):
            yield piece

    def _message(self) -> list[bytes]:
        """The message beside the picture."""
        item, text = message_json(self.job), message_text(self.job)
        at: dict[str, Any] = {"output_index": 1, "item_id": message_id(self.job), "content_index": 0}
        (part,) = item["content"]
        begun = {**item, "status": "in_progress", "content": []}
        return [
            self._frame(f"{_ITEM}.added", output_index=1, item=begun),
            self._frame(f"{_PART}.added", **at, part={**part, "text": ""}),
            self._frame(f"{_TEXT}.delta", **at, delta=text, logprobs=[]),
            self._frame(f"{_TEXT}.done", **at, text=text, logprobs=[]),
            self._frame(f"{_PART}.done", **at, part=part),
            self._frame(f"{_ITEM}.done", output_index=1, item=item),
        ]

    def _about(self, name: str, status: str) -> bytes:
        """The response as it stood then: whoever looks later is told the same."""
        whole = response_json(self._kept, replace(self.job, images=(), attempts=(), failure=None, usage=None))
        return self._frame(
            name, response={**whole, "status": status, "output": [], "completed_at": None, "error": None}
        )

    async def _with(self, image: Image | None, name: str, **payload: Any) -> AsyncIterator[bytes]:
        """A frame with the base64 of a picture where `result` is empty."""
        self._number += 1
        if self._number <= self._after:
            return
        told = {"type": name, "sequence_number": self._number, **payload}
        start = f"event: {name}\ndata: ".encode()
        if image is None:
            yield start + msgspec.json.encode(told) + b"\n\n"
            return
        before, rest = around_base64(told, "result")
        async for piece in written(self._pictures, [start + before, image, rest + b"\n\n"]):
            yield piece

    def _frame(self, name: str, **payload: Any) -> bytes:
        """An event, or nothing where its reader has seen it."""
        self._number += 1
        if self._number <= self._after:
            return b""
        told = {"type": name, "sequence_number": self._number, **payload}
        return f"event: {name}\ndata: ".encode() + msgspec.json.encode(told) + b"\n\n"


def _error(error: DarkroomError) -> bytes:
    told = error_json(error.code, error.message, error.reason, error.details)
    return _error_frame(told)


def _error_frame(told: Mapping[str, Any]) -> bytes:
    shown = {"type": "error", "code": told["code"], "message": told["message"], "param": told["param"]}
    return b"event: error\ndata: " + msgspec.json.encode(shown) + b"\n\n"


_NO_CREDENTIAL: Final = _error_frame(
    error_json("UNAUTHORIZED", "the credential of this stream holds no longer", None, {})
)
