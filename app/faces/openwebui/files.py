"""Generated pictures as Open WebUI's files, `/api/v1/files/{id}`: their owner's, and the org's administrators'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from litestar import Response, delete, get
from litestar.params import FromPath
from litestar.response import Stream

from app.faces.openwebui.answers import json
from app.faces.openwebui.forms import FILE_ID
from app.faces.openwebui.users import User, known_user
from app.http.query import only_query
from app.http.stored_picture import stored_picture
from app.services import AnyRequest, services
from jobs.errors import NotFound

if TYPE_CHECKING:
    from jobs.client.files import File

_PATH: Final = "/api/v1/files/{file_id:str}"
_QUERY: Final = {"attachment": "accepted as Open WebUI has it: a picture is an attachment in any case"}


@get(_PATH, opt={"result": "openwebui_file", "errors": "openwebui_error"})
async def get_file(request: AnyRequest, file_id: FromPath[str]) -> Response[bytes]:
    """What is known of a picture: what it was asked for with, and the chat that it belongs to."""
    user = await known_user(request, looks=True)
    only_query(request)
    return json(_file_json(await file_of(request, user, file_id)))


@get(
    f"{_PATH}/content",
    opt={"result": "openwebui_content", "media_type": "image/*", "errors": "openwebui_error", "query": _QUERY},
)
async def get_file_content(request: AnyRequest, file_id: FromPath[str]) -> Response[bytes] | Stream:
    """The picture, or with `Range` a part of it. A browser's cookie `token` opens it, too."""
    user = await known_user(request, looks=True)
    only_query(request, frozenset(_QUERY))
    file = await file_of(request, user, file_id)
    headers = {
        "Cache-Control": "private, max-age=3600",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name)}",
    }
    return await stored_picture(request, file.blob, headers)


@delete(_PATH, status_code=200, opt={"result": "openwebui_message", "errors": "openwebui_error"})
async def delete_file(request: AnyRequest, file_id: FromPath[str]) -> Response[bytes]:
    """Delete a picture for good."""
    user = await known_user(request)
    only_query(request)
    await services(request).files.delete(await file_of(request, user, file_id))
    return json({"message": "File deleted successfully"})


async def file_of(request: AnyRequest, user: User, file_id: str) -> File:
    """A file that the user may read. Raises `NotFound`, also for another's."""
    if not FILE_ID.fullmatch(file_id):
        raise NotFound("no such file")
    return await services(request).files.get(user.caller.org, file_id, user.reads)


def _file_json(file: File) -> dict[str, Any]:
    """Open WebUI's `FileModelResponse`; times in Unix seconds."""
    link = file.links[-1] if file.links else None
    linked = {} if link is None else {"chat_id": link.chat_id, "message_id": link.message_id}
    return {
        "id": file.id,
        "user_id": file.subject,
        "hash": file.sha256,
        "filename": file.name,
        "data": {},
        "meta": {
            "name": file.name,
            "content_type": file.media_type,
            "size": file.size,
            "file_hash": file.sha256,
            "data": {**file.asked, **linked},
        },
        "created_at": file.created_ms // 1000,
        "updated_at": file.updated_ms // 1000,
    }


handlers: Final = (get_file, get_file_content, delete_file)
