"""`/upload/image`, `/upload/mask` and `/view`."""

from __future__ import annotations

import io
import posixpath
from typing import Final

from litestar import Response, post, route
from litestar.datastructures import UploadFile
from PIL import Image

from app.simulator.comfyui.answers import both, nothing, server, trouble
from app.simulator.comfyui.disk import FOLDERS, Outside
from app.simulator.wire import AnyRequest, answer


@post(both("/upload/image"), status_code=200)
async def upload(request: AnyRequest) -> Response[bytes]:
    """Keeps the bytes unseen."""
    return await _upload(request)


@post(both("/upload/mask"), status_code=200)
async def upload_mask(request: AnyRequest) -> Response[bytes]:
    """The same for a mask, which says of which picture it is."""
    return await _upload(request) if "original_ref" in await request.form() else trouble()


async def _upload(request: AnyRequest) -> Response[bytes]:
    if not request.headers.get("content-type", "").startswith("multipart/"):
        return nothing(400)
    try:
        form = await request.form()
    except ValueError:  # a picture without a file name is read as a text
        return trouble()
    file, folder = form.get("image"), form.get("type") or "input"
    if file is None:
        return nothing(400)
    if not isinstance(file, UploadFile) or not file.filename or folder not in FOLDERS:
        return trouble()
    subfolder, overwrite = form.get("subfolder", ""), form.get("overwrite") in {"true", "1"}
    try:
        data = await file.read()
        name = server(request).disk.upload(folder, subfolder, file.filename, data, overwrite=overwrite)
    except Outside:
        return nothing(400)
    return answer({"name": name, "subfolder": subfolder, "type": folder})


@route(both("/view"), http_method=["GET", "HEAD"])
async def view(request: AnyRequest) -> Response[bytes]:
    """A file's bytes, or a part of them; smaller by `preview`, without its alpha or only that by `channel`."""
    wanted = request.query_params
    if "filename" not in wanted:
        return nothing(404)
    place = (wanted.get("type", "output"), wanted.get("subfolder", ""), wanted["filename"])
    data = server(request).disk.files.get(place)
    if (refusal := _refusal(*place)) is not None or data is None:
        return nothing(refusal or 404)
    headers = {"Content-Disposition": f'filename="{place[2]}"'.encode().decode("latin-1")}
    if "preview" in wanted:
        return _preview(data, wanted["preview"], headers)
    if wanted.get("channel", "rgba") in {"rgb", "a"}:
        return _channel(data, wanted["channel"], headers)
    return _whole(data, request.headers.get("range"), {**headers, "Accept-Ranges": "bytes"})


def _refusal(folder: str, subfolder: str, name: str) -> int | None:
    if not name or name.startswith("/") or ".." in name or folder not in FOLDERS:
        return 400
    return 403 if posixpath.normpath(subfolder).startswith("..") else None


def _whole(data: bytes, part: str | None, headers: dict[str, str]) -> Response[bytes]:
    if part is None:
        return Response(data, status_code=200, media_type="image/png", headers=headers)
    first, _, last = part.removeprefix("bytes=").partition("-")
    end = min(int(last or len(data)), len(data) - 1)
    headers["Content-Range"] = f"bytes {first}-{end}/{len(data)}"
    return Response(data[int(first) : end + 1], status_code=206, media_type="image/png", headers=headers)


def _preview(data: bytes, told: str, headers: dict[str, str]) -> Response[bytes]:
    """`form;quality`; any form but JPEG is WebP."""
    form, _, quality = told.partition(";")
    form = "jpeg" if form == "jpeg" else "webp"
    return _saved(Image.open(io.BytesIO(data)).convert("RGB"), form, headers, int(quality or 90))


def _channel(data: bytes, channel: str, headers: dict[str, str]) -> Response[bytes]:
    read = Image.open(io.BytesIO(data)).convert("RGBA")
    return _saved(read.convert("RGB") if channel == "rgb" else read.getchannel("A"), "png", headers)


def _saved(picture: Image.Image, form: str, headers: dict[str, str], quality: int = 90) -> Response[bytes]:
    out = io.BytesIO()
    picture.save(out, form, quality=quality)
    return Response(out.getvalue(), status_code=200, media_type=f"image/{form}", headers=headers)


handlers: Final = (upload, upload_mask, view)
