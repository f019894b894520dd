"""ComfyUI as a provider: an order is one run, followed by its socket and asked about beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec

from jobs.errors import Outcome, ProviderError, ServiceUnavailable
from jobs.model.picture import Picture
from jobs.pictures.heads import kind_of
from jobs.pictures.text_chunks import without_text
from jobs.providers.base import Accepted, Answered, Order, Step, Unusable
from jobs.providers.comfyui.run import Run
from jobs.providers.comfyui.server import Server, authorization, failed_node, unreached
from jobs.providers.comfyui.workflow import Graph, Workflow, built_in, loaded, named
from jobs.providers.outcomes import CONNECT_SECONDS, bad_response, cut

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

POLL_SECONDS: Final = 2.0
"""Between two looks at queue and history: a socket that is silent proves nothing."""
GONE_SECONDS: Final = 1.0
"""Between two looks of which neither finds the run, before it is taken for forgotten."""
MAX_STARTS: Final = 3
"""How often a run is asked for whose server forgets it."""
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
_TROUBLE: Final = 500
"""The first status of those that speak of the server."""


class ComfyUI:
    """The provider `comfyui`. `workflow` and `nodes` replace our own graphs, for pictures and for edits alike.

    `workflows` is a folder of others, each of which is a model.
    """

    def __init__(
        self, *, base_url: str, api_key: str, workflow: str, nodes: str, workflows: Path | None = None
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._own = loaded(workflow, nodes) if workflow else None
        self._named = named(workflows)
        self._server: Server | None = None
        self._canceled: set[str] = set()

    async def open(self) -> None:
        """See `Provider.open`."""
        self._server = Server(self._base_url, self._api_key)

    async def close(self) -> None:
        """See `Provider.close`."""
        if self._server is not None:
            await self._server.close()

    async def generate(self, order: Order) -> AsyncIterator[Step]:
        """See `Provider.generate`. The id is ours, and told before the run is asked for: it is found by it again."""
        prompt_id = str(uuid4())
        yield Accepted(prompt_id)
        async for step in self._follow(order, prompt_id, starts=0):
            yield step

    async def resume(self, order: Order, handle: str) -> AsyncIterator[Step]:
        """See `Resumable.resume`. Only a run that the server does not know is asked for again, under the same id."""
        async for step in self._follow(order, handle, starts=1):
            yield step

    async def cancel(self, handle: str) -> bool:
        """See `Cancelable.cancel`."""
        self._canceled.add(handle)
        return await self._at().cancel(handle)

    async def _follow(self, order: Order, prompt_id: str, *, starts: int) -> AsyncIterator[Step]:
        end = time.monotonic() + order.timeout
        nodes, previews = len(self._workflow(order).graph), order.request.partial_images or 0
        run, socket = Run(prompt_id, nodes, previews), None
        try:
            while time.monotonic() < end:
                socket = socket or await self._listen(prompt_id)
                if not starts:
                    starts = await self._start(order, prompt_id, 1)
                    yield Answered(status=200, request_id=prompt_id)
                until = min(end, time.monotonic() + POLL_SECONDS)
                while not run.over and (left := until - time.monotonic()) > 0:
                    frame, socket = await _frame(socket, left)
                    if frame is not None and (step := run.hear(frame)) is not None:
                        yield step
                found = await self._look(prompt_id)
                if isinstance(found, dict) and (results := await self._results(found, order.n)) is not None:
                    for result in results:
                        yield result
                    if not any(isinstance(result, Picture) for result in results):
                        raise bad_response("the provider answered without a picture")
                    return
                run.over = False  # the history has it in a moment
                if found is False:
                    starts = await self._start(order, prompt_id, starts + 1)
                    run.begin_again()
            with suppress(ProviderError):
                await self._at().cancel(prompt_id)
            raise cut(TimeoutError())
        finally:
            self._canceled.discard(prompt_id)
            if socket is not None:
                await socket.close()

    async def _graph(self, order: Order, prompt_id: str) -> Graph:
        """The order's own graph; its pictures are on the server."""
        names = [f"darkroom-{prompt_id}-{place}" for place in range(len(order.images))]
        pictures = zip(order.images, names, strict=True)
        uploads = {"image": [await self._at().upload(*each) for each in pictures]}
        if order.mask is not None:
            uploads["mask"] = [await self._at().upload(order.mask, f"darkroom-{prompt_id}-mask")]
        model = order.request.model
        return self._workflow(order).filled(order, uploads, None if model in self._named else model)

    def _workflow(self, order: Order) -> Workflow:
        if (own := self._named.get(order.request.model)) is not None:
            return own
        kind = "inpaint" if order.mask is not None else "edit" if order.images else "text"
        return self._own or built_in(kind)

    async def _start(self, order: Order, prompt_id: str, starts: int) -> int:
        """Ask for the run. Cut after it was sent, it may have begun: the next look says whether it did."""
        if prompt_id in self._canceled:
            raise _refused("the run was canceled", "canceled")
        if starts > MAX_STARTS:
            raise _refused("the server forgot the run again and again", "provider_unavailable")
        try:
            graph = await self._graph(order, prompt_id)
        except ProviderError as error:
            if _is_final(error):
                raise
            raise unreached() from error
        try:
            await self._at().start(graph, prompt_id)
        except ProviderError as error:
            if error.outcome is not Outcome.UNKNOWN:
                raise
        return starts

    async def _look(self, prompt_id: str) -> dict[str, Any] | bool | None:
        """The run's end; True: it waits or runs; None: nobody can say just now; False: the server does not know it.

        The queue is asked first: what leaves it in between is in the history by then.
        """
        for patience in (GONE_SECONDS, 0):
            try:
                if await self._at().waits(prompt_id):
                    return True
                if (found := await self._at().history(prompt_id)) is not None:
                    return found
            except ProviderError as error:
                if _is_final(error):
                    raise
                return None
            await asyncio.sleep(patience)
        return False

    async def _results(self, ended: dict[str, Any], n: int) -> list[Step] | None:
        """What was saved; without that, what was only shown. None: it is there, and the server is away just now."""
        images = [image for output in ended.get("outputs", {}).values() for image in output.get("images", [])]
        saved = [image for image in images if image.get("type") == "output"] or images
        if not saved:
            raise failed_node(ended.get("status", {}))
        try:
            return [_result(without_text(await self._at().view(image)), i) for i, image in enumerate(saved[:n])]
        except ProviderError as error:
            if _is_final(error):
                raise
            return None

    async def _listen(self, prompt_id: str) -> ClientConnection | None:
        """A socket for one run; without it the run is asked about."""
        from websockets.asyncio.client import connect  # loaded where there is a ComfyUI
        from websockets.exceptions import WebSocketException

        url = f"ws{self._base_url.removeprefix('http')}/ws?clientId={prompt_id}"
        try:
            socket = await connect(
                url,
                additional_headers=authorization(self._api_key),
                open_timeout=CONNECT_SECONDS,
                max_size=MAX_FRAME_BYTES,
            )
            await socket.send(
                msgspec.json.encode({"type": "feature_flags", "data": {"supports_preview_metadata": True}}), text=True
            )
        except (OSError, TimeoutError, WebSocketException):
            return None
        return socket

    def _at(self) -> Server:
        if self._server is None:
            raise RuntimeError("open() first")
        return self._server


async def _frame(socket: ClientConnection | None, seconds: float) -> tuple[str | bytes | None, ClientConnection | None]:
    """The next frame, None when there is none in time; and the socket, None when it has closed."""
    from websockets.exceptions import ConnectionClosed

    if socket is None:
        await asyncio.sleep(seconds)
        return None, None
    try:
        async with asyncio.timeout(seconds):
            return await socket.recv(), socket
    except TimeoutError:
        return None, socket
    except ConnectionClosed:
        return None, None


def _is_final(error: ProviderError) -> bool:
    """Whether the server refuses to be asked; else it, or a proxy before it, is away or in trouble just now."""
    return error.outcome is Outcome.REFUSED and (error.provider_status or 0) < _TROUBLE


def _result(data: bytes, index: int) -> Picture | Unusable:
    kind = kind_of(data[:1024])
    return Unusable(data) if kind is None else Picture(data=data, media_type=kind, index=index)


def _refused(message: str, reason: str) -> ProviderError:
    return ProviderError(Outcome.REFUSED, ServiceUnavailable(message, reason=reason))
