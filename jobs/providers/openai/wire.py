"""The image wire that OpenAI and Azure OpenAI share: a call's body, its answer, and what its failures mean."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from jobs.catalog.families import native, streamed
from jobs.errors import ProviderError
from jobs.model.picture import Picture
from jobs.outside.retry_after import retry_after
from jobs.providers.answers import documents
from jobs.providers.base import Answered, Order, Step
from jobs.providers.elsewhere import Elsewhere
from jobs.providers.errors import judged
from jobs.providers.openai.reading import Reader
from jobs.providers.options import merged
from jobs.providers.outcomes import connect_seconds, cut

if TYPE_CHECKING:
    from openai import AsyncOpenAI, DefaultAioHttpClient

_NO_OPTION: Final = frozenset(
    {
        "image", "image[]", "mask", "stream", "partial_images", "response_format",
        "output_format", "frame_count", "frame_duration_ms", "svg",
    }
)  # fmt: skip
"""Fields that decide what the answer looks like, or that are the pictures: no option may be put there.

An animation or a drawing would be paid for, and could not be kept.
"""


def http_client() -> DefaultAioHttpClient:
    """What the SDK sends with. It would follow a redirect, and send prompt and pictures to whatever host that names."""
    from openai import DefaultAioHttpClient  # the SDK is 40 MB
    from openai._vendor.httpx_aiohttp.transport import AiohttpTransport

    from jobs.providers import connections

    transport = AiohttpTransport()
    transport.client = lambda: connections.session(ssl=transport.ssl_context)
    return DefaultAioHttpClient(follow_redirects=False, transport=transport)


async def generate(client: AsyncOpenAI, order: Order) -> AsyncIterator[Step]:
    """One call of `/images/generations` or, with reference images, `/images/edits`."""
    fields, ignored = merged(order, body(order), takes=lambda name: name not in _NO_OPTION)
    until = asyncio.get_running_loop().time() + order.timeout
    async with contextlib.AsyncExitStack() as ending:
        try:
            async with asyncio.timeout_at(until):
                response = await ending.enter_async_context(_answer(client, order, fields))
        except Exception as error:
            raise _failure(error) from error
        request_id = _request_id(response.headers)
        yield Answered(status=response.status_code, request_id=request_id)
        reader = Reader(
            Elsewhere(str(client.base_url)),
            n=order.n,
            previews=order.request.partial_images or 0,
            status=response.status_code,
            request_id=request_id,
        )
        async for step in reader.read(documents(_pieces(response, until))):
            yield step
    for warned in ignored:
        yield warned


def body(order: Order) -> dict[str, Any]:
    """The fields of the call. GPT image models refuse `response_format`; DALL·E needs it to answer with bytes."""
    request = order.request
    formed = native(request, order.family) and not order.family.b64
    streams = streamed(request, order.family)
    return {
        "model": request.model,
        "prompt": request.prompt,
        "n": order.n,
        "size": request.size,
        "quality": request.quality,
        "style": request.style,
        "background": request.background,
        "output_format": request.output_format if formed else None,
        "output_compression": request.output_compression if formed else None,
        "moderation": request.moderation,
        "input_fidelity": request.input_fidelity,
        "user": request.user,
        "safety_identifier": request.safety_identifier,
        "response_format": "b64_json" if order.family.b64 else None,
        "partial_images": request.partial_images if streams else None,
        "stream": True if streams else None,
    }


def _answer(client: AsyncOpenAI, order: Order, fields: dict[str, Any]) -> Any:
    """The call; it is made on entering, its answer's body not read, and its connection closed on leaving."""
    import openai  # loaded with the provider

    known = {name: fields.pop(name) for name in ("model", "prompt", "stream") if name in fields}
    connect = connect_seconds(order.timeout)
    extra: dict[str, Any] = {
        "extra_body": fields,
        "extra_headers": {"x-client-request-id": order.request_id, "x-ms-client-request-id": order.request_id},
        "timeout": openai.Timeout(order.timeout, connect=connect, pool=connect),
    }
    images: Any = client.images.with_streaming_response  # its overloads cannot follow a body made from data
    if not order.images:
        return images.generate(**known, **extra)
    files = [_file(f"image{i}", p) for i, p in enumerate(order.images)]
    mask = {"mask": _file("mask", order.mask)} if order.mask is not None else {}
    return images.edit(image=files if len(files) > 1 else files[0], **mask, **known, **extra)


def _file(name: str, source: Picture) -> tuple[str, bytes, str]:
    return f"{name}.{source.media_type.removeprefix('image/')}", source.data, source.media_type


async def _pieces(response: Any, until: float) -> AsyncIterator[bytes]:
    """The body as it comes, to be whole by `until` (the loop's clock). Raises `ProviderError`."""
    pieces = aiter(response.http_response.aiter_bytes())
    try:
        while True:
            async with asyncio.timeout_at(until):
                piece = await anext(pieces)
            yield piece
    except StopAsyncIteration:
        return
    except Exception as error:
        raise cut(error, answered=True) from error


def _failure(error: Exception) -> ProviderError:
    import openai

    if not isinstance(error, openai.APIStatusError):
        return cut(error)
    response = error.response
    return judged(response.status_code, response.content, _request_id(response.headers), retry_after(response.headers))


def _request_id(headers: Mapping[str, str]) -> str | None:
    return headers.get("apim-request-id") or headers.get("x-request-id")
