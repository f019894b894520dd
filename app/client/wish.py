"""A picture to be asked for: its words as the body of a request."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

Picture = str | bytes | os.PathLike[str]
"""An address (`https://…`), the bytes of a PNG or JPEG, or the path of such a file."""
_STARTS: Final = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))
_ENDINGS: Final = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


def body_of(  # noqa: PLR0913  # as many as a picture has words
    prompt: str,
    *,
    model: str,
    provider: str | None,
    images: Sequence[Picture],
    mask: Picture | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The body of `POST /api/v1/jobs`. Options are its further fields, in their own spelling or in Python's.

    Raises `ValueError` for what is no PNG and no JPEG, `OSError` for a file that cannot be read.
    """
    provider, _, name = (provider, "", model) if provider else model.partition("/")
    if not name:
        raise ValueError(f"model {model!r}: say whose it is, as in `openai/{model}`, or give a provider")
    body: dict[str, Any] = {"provider": provider, "model": name, "prompt": prompt}
    body |= {_camel(field): value for field, value in options.items() if value is not None}
    if images:
        body["referenceImages"] = [_picture(image) for image in images]
    if mask is not None:
        told = _picture(mask)
        del told["mimeType"]
        body["mask"] = told
    return body


def _picture(picture: Picture) -> dict[str, str]:
    if isinstance(picture, str) and picture.startswith(("http://", "https://")):
        ending = Path(urlsplit(picture).path).suffix.lower()
        return {"url": picture, "mimeType": _ENDINGS.get(ending, "image/png")}
    data = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
    for start, media_type in _STARTS:
        if data.startswith(start):
            return {"b64": base64.b64encode(data).decode(), "mimeType": media_type}
    where = "the bytes" if isinstance(picture, bytes) else os.fspath(picture)
    raise ValueError(f"{where}: neither PNG nor JPEG")


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
