"""Automatic1111's web UI (and those that speak its `/sdapi/v1`, as Forge does): one POST is one run."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import httpx
import msgspec
import pybase64
from msgspec import Struct
from msgspec.structs import replace

from jobs.errors import ProviderError
from jobs.model.picture import Picture
from jobs.pictures.sniff import pillow
from jobs.pictures.text_chunks import without_text
from jobs.providers import fresh
from jobs.providers.answers import Document, documents, once
from jobs.providers.base import Accepted, Answered, Order, Progressed, Step
from jobs.providers.elsewhere import Elsewhere
from jobs.providers.errors import judged
from jobs.providers.found import DAMAGED, Place, instead, told, unread
from jobs.providers.options import merged
from jobs.providers.outcomes import CONNECT_SECONDS, bad_response, cut, refused_model, refused_request, unreadable
from jobs.providers.replies import count, each, member

POLL_SECONDS: Final = 1.0
"""Between two looks at how far a run is."""
LOOK_SECONDS: Final = 5.0
"""For one such look."""
_OK: Final = 200
_REFUSALS: Final = frozenset({400, 422})
_NOT_FOUND: Final = 404
"""An older server's word for a sampler that it does not have, and FastAPI's for a path: that is told by its words."""
_NO_ROUTE: Final = "Not Found"
_OPTIONS: Final = frozenset(
    {
        "cfg_scale",
        "clip_skip",
        "denoising_strength",
        "inpaint_full_res",
        "inpainting_fill",
        "mask_blur",
        "sampler_name",
        "scheduler",
        "styles",
        "tiling",
    }
)
"""What a caller may set, by the web UI's names: how it is drawn. Scripts and settings of the instance are not his."""


class _Task(Struct):
    active: bool = False
    queued: bool = False
    progress: float | None = None


class Automatic1111:
    """The provider `automatic1111`. `auth` is `user:password`, as the server's `--api-auth`, or nothing."""

    def __init__(self, *, base_url: str, auth: str) -> None:
        self._base_url = base_url
        self._auth = auth
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """See `Provider.open`."""
        user, _, password = self._auth.partition(":")
        auth = httpx.BasicAuth(user, password) if self._auth else None
        self._client = fresh.client(self._base_url, auth=auth)

    async def close(self) -> None:
        """See `Provider.close`."""
        if self._client is not None:
            await self._client.aclose()

    async def generate(self, order: Order) -> AsyncIterator[Step]:
        """See `Provider.generate`. The id of the run is ours, so that its progress is told apart from others'."""
        checkpoint = await self._checkpoint(order)
        fields, ignored = merged(order, await _fields(order, checkpoint), takes=lambda name: name in _OPTIONS)
        task_id = str(uuid4())
        yield Accepted(task_id)
        kind = "img2img" if order.images else "txt2img"
        fields["force_task_id"] = task_id
        posting = asyncio.create_task(self._post(f"/sdapi/v1/{kind}", fields, order.timeout))
        try:
            while not posting.done():
                await asyncio.wait([posting], timeout=POLL_SECONDS)
                if not posting.done() and (progressed := await self._progress(task_id)) is not None:
                    yield progressed
        finally:
            posting.cancel()
        content, failure = await posting
        found = [document async for document in documents(once(content))]
        yield Answered(status=_OK, request_id=task_id)
        steps = await _read(found, order.n, Elsewhere(self._base_url))
        for step in (*steps, *ignored):
            yield _without_words(step)
        if not any(isinstance(step, Picture) for step in steps):
            raise failure or _without_picture(found, steps)

    async def cancel(self, handle: str) -> bool:
        """See `Cancelable.cancel`. An interrupt names no run: it is sent while the running one is known to be ours."""
        task = await self._look(handle)
        if task is None or not task.active:
            return False
        with suppress(httpx.TransportError):
            return (await self._open().post("/sdapi/v1/interrupt", timeout=LOOK_SECONDS)).is_success
        return False

    async def _checkpoint(self, order: Order) -> str:
        """The model by the server's own title: of one that it does not know it says nothing, and takes another."""
        wanted = order.request.model
        try:
            answer = await self._open().get("/sdapi/v1/sd-models", timeout=httpx.Timeout(30, connect=CONNECT_SECONDS))
        except httpx.TransportError as error:
            raise cut(httpx.ConnectError(str(error))) from error  # nothing was ordered yet
        if answer.status_code != _OK:
            raise judged(answer.status_code, answer.content, None)
        for known in [document.value async for document in documents(once(answer.content))]:
            names = {str(member(known, name)) for name in ("title", "model_name", "hash")}
            if wanted in names or wanted == str(member(known, "filename")).replace("\\", "/").rpartition("/")[2]:
                return str(member(known, "title"))
        raise refused_model(_OK, None)

    async def _post(self, path: str, body: Mapping[str, Any], seconds: float) -> tuple[bytes, ProviderError | None]:
        """The body of a success, or what came of it and how it ended. Raises `ProviderError`."""
        told: dict[str, Any] = {"content": msgspec.json.encode(body), "headers": _JSON}
        told["timeout"] = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        try:
            async with asyncio.timeout(seconds), self._open().stream("POST", path, **told) as answer:
                content, failure = await fresh.whole(answer)
        except (httpx.TransportError, TimeoutError) as error:
            raise cut(error) from error
        said = _said(content)
        if answer.status_code in _REFUSALS or (answer.status_code == _NOT_FOUND and said not in {"", _NO_ROUTE}):
            raise refused_request(said, answer.status_code, None)
        if answer.status_code != _OK:
            raise judged(answer.status_code, content, None)
        return content, failure

    async def _progress(self, task_id: str) -> Progressed | None:
        task = await self._look(task_id)
        return Progressed(value=min(1.0, task.progress)) if task is not None and task.active and task.progress else None

    async def _look(self, task_id: str) -> _Task | None:
        """How far our own run is; None where the server does not say (it has no web UI, or is busy)."""
        body = {"id_task": task_id, "id_live_preview": -1, "live_preview": False}
        try:
            answer = await self._open().post("/internal/progress", json=body, timeout=LOOK_SECONDS)
        except httpx.TransportError:
            return None
        try:
            return msgspec.json.decode(answer.content, type=_Task) if answer.status_code == _OK else None
        except msgspec.DecodeError:
            return None

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            raise RuntimeError("open() first")
        return self._client


_JSON: Final = {"Content-Type": "application/json"}


async def _fields(order: Order, checkpoint: str) -> dict[str, Any]:
    request = order.request
    width, _, height = (request.size or "").partition("x")
    sized = {"width": int(width), "height": int(height)} if height else {}
    return {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "steps": request.steps,
        "seed": request.seed,
        "batch_size": order.n,
        "n_iter": 1,
        "override_settings": {"sd_model_checkpoint": checkpoint},
        "override_settings_restore_afterwards": True,
        "send_images": True,
        "save_images": False,
        **sized,
        **({"init_images": [_base64(source.data) for source in order.images]} if order.images else {}),
        **({"mask": _base64(await asyncio.to_thread(_white_where_clear, order.mask.data))} if order.mask else {}),
    }


def _white_where_clear(mask: bytes) -> bytes:
    """OpenAI's mask is clear where a picture is made anew, Automatic1111's is white there."""
    image = pillow()
    with image.open(io.BytesIO(mask)) as read:
        alpha = read.convert("RGBA").getchannel("A")
    out = io.BytesIO()
    alpha.point(lambda value: 0 if value else 255).save(out, "png")
    return out.getvalue()


async def _read(found: list[Document], n: int, elsewhere: Elsewhere) -> list[Step]:
    """Without the grid, which comes first where there is one, and without masks, which come last."""
    images = [image for one in found for image in each(member(one.value, "images"))]
    first = count(member(_parsed(member(found[0].value, "info")), "index_of_first_image")) or 0
    wanted = images[first:][:n] or images[:n]
    steps = [step for i, text in enumerate(wanted) for step in await Place(index=i, text=text).look(elsewhere)]
    if not any(isinstance(step, Picture) for step in steps):
        steps += instead(found)[:n] or unread(found)
    return [*steps, *([DAMAGED] if any(one.damaged for one in found) else [])]


def _without_picture(found: list[Document], steps: list[Step]) -> ProviderError:
    if all(one.value is None for one in found):
        return unreadable(_OK)
    return bad_response(f"the provider answered without a picture{told(steps)}")


def _without_words(step: Step) -> Step:
    """The prompt stands in the file, too."""
    return replace(step, data=without_text(step.data)) if isinstance(step, Picture) else step


def _parsed(info: Any) -> Any:
    try:
        return msgspec.json.decode(info) if isinstance(info, str) else info
    except msgspec.DecodeError:
        return None


def _said(body: bytes) -> str:
    """Its own words: a text, or FastAPI's list of what is wrong."""
    try:
        detail = member(msgspec.json.decode(body), "detail", "errors")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return "; ".join(str(member(one, "msg") or one) for one in each(detail))


def _base64(data: bytes) -> str:
    return pybase64.b64encode(data).decode()
