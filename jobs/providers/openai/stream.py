"""OpenAI's image wire when it streams: previews on the way, then the picture, or what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec
import structlog
from msgspec import Raw, Struct

from jobs.errors import Outcome, ProviderError, ServiceUnavailable
from jobs.pictures.sniff import NotAPicture
from jobs.providers.base import PartialImage, Step
from jobs.providers.openai.errors import against_account, against_policy, counted, refused
from jobs.providers.outcomes import bad_response, cut, refused_account, refused_status
from jobs.providers.replies import picture, told
from jobs.providers.sse import data_of

_THROTTLE: Final = "rate_limit_exceeded"
_ASKED_WRONGLY: Final = frozenset({"invalid_request_error", "image_generation_user_error"})
_log = structlog.get_logger()


class _Event(Struct):
    """What we use of an event; the rest is not read. An error stands in `error`, or is the event itself."""

    type: Any = None
    b64_json: Raw = Raw()
    partial_image_index: Any = None
    revised_prompt: Any = None
    usage: Any = None
    error: Any = None
    code: Any = None
    message: Any = None
    param: Any = None


async def read(pieces: AsyncIterator[bytes], previews: int, request_id: str | None) -> AsyncIterator[Step]:
    """The steps of a streamed answer, whose body comes in `pieces`. Raises `ProviderError`.

    A preview that cannot be read, or is more than the `previews` asked for, is left out. A stream that ends without
    its picture is cut, however it ends.
    """
    drawn = 0
    async for data in data_of(pieces):
        event = _event(data)
        kind = event.type if isinstance(event.type, str) else ""
        if kind.endswith(".completed") and event.b64_json:
            for step in _completed(event):
                yield step
            return
        if event.error or kind == "error":
            raise _failed(event, drawn, request_id)
        if kind.endswith(".partial_image"):
            for preview in _partial_image(event, drawn, previews):
                yield preview
            drawn += 1
        elif kind.endswith(".completed"):
            raise bad_response("the provider answered without a picture that can be used")
    raise cut(EOFError("the stream ended before its picture"), answered=True)


def _event(data: bytes) -> _Event:
    try:
        return _Event() if data == b"[DONE]" else msgspec.json.decode(data, type=_Event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        _log.warning("event of a stream cannot be read", bytes=len(data))
        return _Event()


def _completed(event: _Event) -> list[Step]:
    try:
        made = picture(event.b64_json, revised_prompt=told(event.revised_prompt, str))
    except NotAPicture as error:
        raise bad_response(f"the provider's picture cannot be used: {error}") from error
    return [made, *counted(event.usage)]


def _partial_image(event: _Event, drawn: int, previews: int) -> list[Step]:
    if drawn >= previews:
        return []
    said = told(event.partial_image_index, int)
    place = drawn if said is None or said not in range(previews) else said
    try:
        return [PartialImage(picture(event.b64_json), place)]
    except NotAPicture as error:
        _log.warning("preview cannot be used", error=str(error))
        return []


def _failed(event: _Event, drawn: int, request_id: str | None) -> ProviderError:
    """An error within a 200.

    What speaks of the request is a refusal, as in an answer. Any other is judged like the status that it stands for
    (429 or 500), unless a preview came before it: those are tokens of their own, and who charges them is not known.
    """
    facts: Mapping[str, Any] = event.error if isinstance(event.error, dict) else msgspec.structs.asdict(event)
    if against_policy(facts) or str(facts.get("type")) in _ASKED_WRONGLY:
        return refused(facts, 200, request_id)
    if drawn:
        message = "the provider gave up after it had begun to draw: it may have billed what it drew"
        error = ServiceUnavailable(message, reason="outcome_unknown")
        return ProviderError(Outcome.UNKNOWN, error, provider_status=200, provider_request_id=request_id)
    if against_account(facts):
        return refused_account(200, request_id)
    return refused_status(429 if facts.get("code") == _THROTTLE else 500, request_id, None)
