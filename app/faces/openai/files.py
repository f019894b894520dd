"""OpenAI's files: pictures that are uploaded once, and named by their id in any request that takes pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from litestar import Response, delete, get, post
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import Struct

from app.faces.openai.models import model_json
from app.faces.openai.paths import everywhere, reader, writer
from app.http.multipart import Part, read_form
from app.http.query import MAX_PAGE, number
from app.services import AnyRequest, services
from jobs.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from jobs.client.uploads import Upload

PURPOSES: Final = ("vision", "user_data", "assistants")
MIN_SECONDS, MAX_SECONDS = 3_600, 2_592_000
"""How long a file may be asked to be kept."""
_PAGING: Final = frozenset({"after", "limit", "order", "purpose"})
_ORDERS: Final = ("asc", "desc")
_FILE_ID: Final = re.compile(r"file-[0-9a-z]{30}")


@post(everywhere("/files"), status_code=200, include_in_schema=False)
async def upload_file(request: AnyRequest) -> Response[bytes]:
    """Keep a picture (`file`), as OpenAI's `files.create`; `purpose` says what for, and changes nothing."""
    caller = await writer(request)
    asked = _read(await read_form(request))
    upload = await services(request).uploads.add(
        caller.org, asked.data, filename=asked.filename, purpose=asked.purpose, seconds=asked.seconds
    )
    return model_json(_file_json(upload))


@get(everywhere("/files"), include_in_schema=False)
async def list_files(request: AnyRequest) -> Response[bytes]:
    """The org's files, the newest first unless `order=asc`."""
    caller, query = await reader(request, _PAGING)
    after, purpose = query.get("after"), query.get("purpose")
    if after is not None:
        after = known_file(after)
    if query.get("order", "desc") not in _ORDERS:
        raise InvalidInput(f"must be {' or '.join(_ORDERS)}", field="order")
    uploads, more = await services(request).uploads.page(
        caller.org,
        after,
        min(number(query, "limit", MAX_PAGE), MAX_PAGE),
        lambda upload: purpose in {None, upload.purpose},
        oldest_first=query.get("order") == "asc",
    )
    ids = [upload.id for upload in uploads]
    ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return model_json({"object": "list", "data": [_file_json(u) for u in uploads], **ends, "has_more": more})


@get(everywhere("/files/{file_id:str}"), include_in_schema=False)
async def get_file(request: AnyRequest, file_id: FromPath[str]) -> Response[bytes]:
    """One file, without its bytes."""
    caller, _ = await reader(request)
    return model_json(_file_json(await services(request).uploads.get(caller.org, known_file(file_id))))


@get(everywhere("/files/{file_id:str}/content"), include_in_schema=False)
async def get_file_content(request: AnyRequest, file_id: FromPath[str]) -> Response[Any]:
    """The bytes of a file, as they were uploaded."""
    caller, _ = await reader(request)
    upload = await services(request).uploads.get(caller.org, known_file(file_id))
    info = await services(request).pictures.info(upload.blob)
    return Stream(
        services(request).pictures.stream(upload.blob),
        headers={"Content-Length": str(info.size)},
        media_type=upload.media_type,
    )


@delete(everywhere("/files/{file_id:str}"), status_code=200, include_in_schema=False)
async def delete_file(request: AnyRequest, file_id: FromPath[str]) -> Response[bytes]:
    """Forget a file. Jobs that have named it already still have it."""
    caller = await writer(request)
    await services(request).uploads.delete(caller.org, known_file(file_id))
    return model_json({"id": file_id, "object": "file", "deleted": True})


class _Asked(Struct, frozen=True):
    """What the form of an upload says; `seconds` None: kept until it is deleted."""

    data: bytes
    filename: str
    purpose: str
    seconds: int | None


def known_file(text: str) -> str:
    """An id in a path or query, when it can be a file's. Raises `NotFound`."""
    if not _FILE_ID.fullmatch(text):
        raise NotFound("no such file")
    return text


def _read(parts: Sequence[Part]) -> _Asked:
    texts = {part.name: part.text for part in parts if part.text is not None}
    files = [part for part in parts if part.text is None]
    unknown = next((p.name for p in parts if p.name not in {"file", "purpose", _ANCHOR, _SECONDS}), None)
    if unknown is not None:
        raise InvalidInput("is no field here", field=unknown, reason="unknown_field")
    if len(files) != 1:
        raise InvalidInput("must be one picture", field="file", reason=None if files else "missing_field")
    if texts.get("purpose") not in PURPOSES:
        raise InvalidInput(f"must be {', '.join(PURPOSES)}", field="purpose")
    return _Asked(files[0].data, files[0].filename, texts["purpose"], _seconds(texts))


def _seconds(texts: dict[str, str]) -> int | None:
    if _ANCHOR not in texts and _SECONDS not in texts:
        return None
    if texts.get(_ANCHOR) != "created_at":
        raise InvalidInput("must be created_at", field=_ANCHOR)
    told = texts.get(_SECONDS, "")
    if not re.fullmatch("[0-9]{1,7}", told) or not MIN_SECONDS <= int(told) <= MAX_SECONDS:
        raise InvalidInput(f"must be {MIN_SECONDS} to {MAX_SECONDS}", field=_SECONDS)
    return int(told)


def _file_json(upload: Upload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "object": "file",
        "bytes": upload.bytes,
        "created_at": upload.created_ms // 1000,
        "expires_at": None if upload.expires_ms is None else upload.expires_ms // 1000,
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": "processed",
        "status_details": None,
    }


_ANCHOR: Final = "expires_after[anchor]"
_SECONDS: Final = "expires_after[seconds]"
handlers: Final = (upload_file, list_files, get_file, get_file_content, delete_file)
