"""Reading a provider's JSON: the pictures in it are taken whatever the words beside them look like."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
import pybase64
from msgspec import Raw

from jobs.model.picture import Picture
from jobs.pictures.sniff import NotAPicture, measure
from jobs.providers.outcomes import bad_response, unreadable

_FROM_URL_SAFE: Final = str.maketrans("-_", "+/")
"""Base64's URL-safe alphabet to the plain one."""

_T = TypeVar("_T")


def decoded(content: bytes | str, shape: type[_T]) -> _T:
    """A 200's body. Raises `ProviderError`: of unknown outcome when it is no JSON, a bad response in another shape."""
    try:
        return msgspec.json.decode(content, type=shape)
    except msgspec.ValidationError as error:
        raise bad_response("the provider answered without a picture") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unreadable() from error


def told(value: Any, shape: type[_T]) -> _T | None:
    """Words beside the picture: None where they are not of the shape that we know."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError:
        return None


def picture(text: Raw, *, index: int = 0, revised_prompt: str | None = None) -> Picture:
    """The picture of a JSON string in base64, with the media type that its bytes show. Raises `NotAPicture`."""
    data = _bytes(text)
    return Picture(data=data, media_type=measure(data).media_type, revised_prompt=revised_prompt, index=index)


def _bytes(text: Raw) -> bytes:
    # Base64 holds nothing that JSON must escape, so the text between the quotes is decoded as it lies: no copy.
    try:
        return pybase64.b64decode(memoryview(text)[1:-1], validate=True)
    except ValueError:
        return _bytes_otherwise(text)


def _bytes_otherwise(text: Raw) -> bytes:
    """Base64 with JSON's escapes (PHP's encoder writes them), in the URL-safe alphabet, or without its padding."""
    plain = _text(text).translate(_FROM_URL_SAFE)
    try:
        return pybase64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError as error:
        raise NotAPicture("it is not base64") from error


def _text(text: Raw) -> str:
    try:
        return msgspec.json.decode(text, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
