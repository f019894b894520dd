"""How a new job is to be run and answered, as headers say it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from jobs.errors import InvalidInput
from jobs.model.choices import OnAmbiguous, Priority, one_of
from jobs.model.job import Options

if TYPE_CHECKING:
    from litestar import Request


class Preference(Struct, frozen=True):
    """What `Prefer` (RFC 7240) asks: `wait` in seconds; `wait` 0: `respond-async`; None: nothing."""

    wait: int | None = None


def applied(prefer: Preference) -> dict[str, str]:
    """`Preference-Applied` (RFC 7240)."""
    if prefer.wait is None:
        return {}
    return {"Preference-Applied": f"wait={prefer.wait}" if prefer.wait else "respond-async"}


def preference(request: Request[Any, Any, Any], most: int) -> Preference:
    """Read `Prefer`; `wait` is at most `most` seconds. `respond-async` with a wait: the wait.

    What is no preference that is known here, or cannot be read, is passed over (RFC 7240 section 2).
    """
    wait: int | None = None
    for part in _PREFERENCES.findall(request.headers.get("prefer", "")):
        name, _, value = (side.strip() for side in part.partition(";")[0].partition("="))
        seconds = value.strip('"')
        if name.lower() == "wait" and seconds.isascii() and seconds.isdigit():
            return Preference(min(int(seconds[:6]), most))
        if name.lower() == "respond-async":
            wait = 0
    return Preference(wait)


def options_from_headers(request: Request[Any, Any, Any]) -> Options:
    """The create options that may be sent as headers."""
    headers = request.headers
    calls = _count(request, "X-Max-Calls")
    return checked_options(
        Options(
            priority=one_of(Priority, headers.get("x-job-priority", "normal"), "X-Job-Priority"),
            start_within=_seconds(request, "X-Start-Timeout"),
            cancel_after=_seconds(request, "Cancel-After") or Options().cancel_after,
            max_queue_position=_count(request, "X-Max-Queue-Position"),
            on_ambiguous=one_of(OnAmbiguous, headers.get("x-on-ambiguous", "fail"), "X-On-Ambiguous"),
            max_calls=Options().max_calls if calls is None else calls,
            expires_after=_seconds(request, "X-Expires-After"),
        ),
        _HEADER_NAMES,
    )


def checked_options(options: Options, names: dict[str, str]) -> Options:
    """Hold options to their bounds; `names` are the fields as this caller knows them. Raises `InvalidInput`."""
    for attribute, (least, most) in _BOUNDS.items():
        value = getattr(options, attribute)
        if value is not None and not least <= value <= most:
            raise InvalidInput(f"must be {least} to {most}", field=names[attribute])
    return options


def idempotency_key(request: Request[Any, Any, Any]) -> str | None:
    """`Idempotency-Key`: 1 to 255 printable ASCII characters."""
    value = request.headers.get("idempotency-key")
    if value is not None and not _PRINTABLE.fullmatch(value):
        raise InvalidInput("must be 1 to 255 printable ASCII characters", field="Idempotency-Key")
    return value


def client_reference(value: str | None, field: str) -> str | None:
    """A caller's own name for the job: at most 128 characters."""
    if value is not None and not 1 <= len(value) <= _MAX_REFERENCE_LENGTH:
        raise InvalidInput(f"must be 1 to {_MAX_REFERENCE_LENGTH} characters", field=field)
    return value


_BOUNDS: Final = {
    "start_within": (1, 86_400),
    "cancel_after": (5, 86_400),
    "max_queue_position": (0, 1_000_000),
    "max_calls": (1, 5),
    "expires_after": (3_600, 2_592_000),
}
_HEADER_NAMES: Final = {
    "start_within": "X-Start-Timeout",
    "cancel_after": "Cancel-After",
    "max_queue_position": "X-Max-Queue-Position",
    "max_calls": "X-Max-Calls",
    "expires_after": "X-Expires-After",
}
_PREFERENCES: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*+"?)++')
"""The parts between commas that stand in no quoted string."""
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")
_MAX_REFERENCE_LENGTH: Final = 128
_DURATION: Final = re.compile(r"(\d{1,7})([smh]?)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}


def _seconds(request: Request[Any, Any, Any], name: str) -> int | None:
    value = request.headers.get(name)
    if value is None:
        return None
    found = _DURATION.fullmatch(value)
    if found is None:
        raise InvalidInput("must be a duration such as 90, 90s, 5m or 1h", field=name)
    return int(found[1]) * _UNITS[found[2]]


def _count(request: Request[Any, Any, Any], name: str) -> int | None:
    value = request.headers.get(name)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 7:  # noqa: PLR2004  # more than any queue
        raise InvalidInput("must be a number", field=name)
    return int(value)
