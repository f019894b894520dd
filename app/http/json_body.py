"""Reading a JSON body strictly: its size, its form, its fields, each refusal naming the place and the way out."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from litestar.exceptions import InternalServerException
from msgspec import Struct

from app.http.base64_fields import LONG, Base64Text, lift
from app.http.fields import kind_at, known_fields, meant, without_nulls
from jobs.errors import DarkroomError, InvalidInput, InvalidPicture, PayloadTooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from litestar import Request

MAX_DEPTH: Final = 32
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
T = TypeVar("T", bound=Struct)


async def read_json(
    request: Request[Any, Any, Any],
    kind: type[T],
    largest: int = MAX_BODY_BYTES,
    reshape: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    *,
    any_type: bool = False,
) -> T:
    """The body as `kind` (a Struct that forbids unknown fields). Raises `InvalidInput` naming the field.

    `reshape` may move what was sent before it is read. `any_type`: the content type is not asked.
    """
    if not any_type:
        _check_headers(request)
    body = await _read(request, largest)
    if len(body) <= LONG:
        return converted(reshape(parse(body)), kind)
    return await asyncio.to_thread(_read_long, body, kind, reshape)


def _read_long(body: bytearray, kind: type[T], reshape: Callable[[dict[str, Any]], dict[str, Any]]) -> T:
    """Runs in a thread, so that it takes turns with the other requests."""
    rest, lifted = lift(body)
    return converted(reshape(parse(rest)), kind, lifted)


def converted(
    fields: dict[str, Any],
    kind: type[T],
    lifted: Mapping[str, memoryview] = MappingProxyType({}),
    *,
    strict: bool = True,
) -> T:
    """Fields as `kind`; null is as good as left out. `strict` False: numbers and booleans come as text, as in a form.

    Raises `InvalidInput` naming the field, also for a picture (of those `lifted`) where none belongs.
    """
    left = dict(lifted)

    def decoded(wanted: type, value: object) -> object:
        if wanted is Base64Text and isinstance(value, str):
            return Base64Text(left.pop(value, value))
        raise TypeError("expected `str`")

    try:
        found = msgspec.convert(without_nulls(fields, kind), kind, dec_hook=decoded, strict=strict)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), kind) from None
    if left:
        raise InvalidInput(f"the body holds a text of more than {LONG} bytes where no picture belongs")
    return found


async def read_optional_json(request: Request[Any, Any, Any], kind: type[T], largest: int = MAX_BODY_BYTES) -> T:
    """The same for a body that may be left out: all of its fields have defaults."""
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    return await read_json(request, kind, largest) if has_body else kind()


def parse(body: bytes | bytearray) -> Any:
    """JSON (RFC 8259) without its loose ends: no duplicate names, NaN, NUL, lone surrogates or deep nesting."""
    try:
        value = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
    except UnicodeDecodeError:
        raise InvalidInput("the body is not UTF-8") from None
    except RecursionError:
        raise InvalidInput(f"the body is nested deeper than {MAX_DEPTH}") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    if not isinstance(value, dict):
        raise InvalidInput("the body must be a JSON object")
    _check_values(value)
    return value


def _check_headers(request: Request[Any, Any, Any]) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("send Content-Type: application/json")


def check_length(request: Request[Any, Any, Any], largest: int) -> None:
    """Refuse by its `Content-Length` a body that is too large or in an encoding. Raises `DarkroomError`."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise UnsupportedMediaType("send the body without Content-Encoding")
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > largest:
        raise too_large(largest)


async def _read(request: Request[Any, Any, Any], largest: int) -> bytearray:
    check_length(request, largest)
    body = bytearray()
    async for piece in pieces(request):
        body += piece
        if len(body) > largest:
            raise too_large(largest)
    return body


async def pieces(request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
    """The body as it comes. Raises `InvalidInput` when its sender goes before it is whole."""
    try:
        async for piece in request.stream():
            yield piece
    except InternalServerException:
        raise InvalidInput("the body did not come whole") from None


def too_large(largest: int) -> PayloadTooLarge:
    """The refusal of a body beyond its bound."""
    return PayloadTooLarge(f"the body may have at most {largest} bytes", limit=largest)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # it adds
        raise InvalidInput("is given twice", field=_shown(twice[:64]))
    return found


def _no_constant(name: str) -> Any:
    raise InvalidInput(f"the body holds {name}, which is not JSON")


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > 19:  # noqa: PLR2004  # 64 bits
        raise InvalidInput("the body holds a number beyond 64 bits")
    return int(digits)


def _check_values(value: Any) -> None:
    unfit = _unfit(value, 1)
    if unfit is not None:
        raise InvalidInput(_UNFIT_TEXT, field=_path(unfit))


def _unfit(value: Any, depth: int) -> tuple[str | int, ...] | None:
    """The steps to the first text that is not fit, a name or a value. Raises `InvalidInput` for what is too deep."""
    if isinstance(value, str):
        return () if _UNFIT.search(value) else None
    if not isinstance(value, dict | list):
        return None
    if depth > MAX_DEPTH:
        raise InvalidInput(f"the body is nested deeper than {MAX_DEPTH}")
    for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(step, str) and _UNFIT.search(step):
            return (step,)
        steps = _unfit(inner, depth + 1)
        if steps is not None:
            return (step, *steps)
    return None


def _path(steps: tuple[str | int, ...]) -> str:
    told = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return _shown(told.removeprefix(".")[:_MAX_PATH_LENGTH])


def _shown(text: str) -> str:
    """Text that an answer can hold, whatever was sent."""
    return _UNFIT.sub("?", text)


def check_text(text: str, path: str) -> None:
    """Raises `InvalidInput` for what is in no text that people write, and in few stores."""
    if _UNFIT.search(text):
        raise InvalidInput(_UNFIT_TEXT, field=path)


_UNFIT_TEXT: Final = "holds a NUL or half a surrogate pair"
_UNFIT: Final = re.compile("[\x00\ud800-\udfff]")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`(?: - at `\$\.?(?P<path>[^`]*)`)?")
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>[^`]*)`(?: - at `\$\.?(?P<path>[^`]*)`)?")
_AT: Final = re.compile(r"(?P<what>.*) - at `\$\.?(?P<path>[^`]*)`")
_MAX_PATH_LENGTH: Final = 200
_PICTURES: Final = re.compile(r"(referenceImages?|images?|mask)\b")


def _invalid(text: str, kind: type[Struct]) -> DarkroomError:
    if found := _UNKNOWN.match(text):
        here = kind_at(kind, found["path"] or "")
        guess = "" if here is None else meant(found["field"], known_fields(here))
        return _refusal(f"is no field here{guess}", _joined(found), "unknown_field")
    if found := _MISSING.match(text):
        return _refusal("is required", _joined(found), "missing_field")
    found = _AT.match(text)
    if found:
        return _refusal(f"{found['what'][:1].lower()}{found['what'][1:]}", found["path"])
    return InvalidInput(text)


def _joined(found: re.Match[str]) -> str:
    return ".".join(part for part in (found["path"], found["field"]) if part)


def _refusal(message: str, path: str, reason: str | None = None) -> DarkroomError:
    """What concerns an input picture has a code of its own, by the contract of the agents face."""
    path = path[:_MAX_PATH_LENGTH]
    kind = InvalidPicture if _PICTURES.match(path) else InvalidInput
    return kind(f"{path}: {message}", field=path, reason=reason)
