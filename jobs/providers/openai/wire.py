"""The image wire that OpenAI and Azure OpenAI share: a call's body, its answer, and what its failures mean."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw, Struct
from msgspec.structs import replace

from jobs.catalog.families import native, streamed
from jobs.errors import ProviderError
from jobs.model.picture import Picture
from jobs.outside.retry_after import retry_after
from jobs.pictures.sniff import NotAPicture
from jobs.providers.base import Answered, Order, Step, Warned
from jobs.providers.openai import stream as openai_stream
from jobs.providers.openai.errors import against_account, counted, refused
from jobs.providers.options import merged
from jobs.providers.outcomes import (
    BAD_REQUEST,
    bad_response,
    connect_seconds,
    cut,
    refused_account,
    refused_status,
)
from jobs.providers.replies import decoded, picture, told

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


class _Item(Struct):
    b64_json: Raw = Raw()
    revised_prompt: Any = None


class _Answer(Struct):
    """What we use of an images response; the rest is not read."""

    data: list[_Item]
    usage: Any = None


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
    try:
        async with asyncio.timeout_at(until):
            raw = await _send(client, order, fields)
    except Exception as error:
        raise _failure(error) from error
    yield Answered(status=raw.status_code, request_id=_request_id(raw.headers))
    if streamed(order.request, order.family):
        async for step in _stream(raw.http_response, order.request.partial_images or 0, until):
            yield step
    else:
        for step in _read(raw.content, order.n):
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


async def _send(client: AsyncOpenAI, order: Order, fields: dict[str, Any]) -> Any:
    import openai  # loaded with the provider

    known = {name: fields.pop(name) for name in ("model", "prompt", "stream") if name in fields}
    connect = connect_seconds(order.timeout)
    extra: dict[str, Any] = {
        "extra_body": fields,
        "extra_headers": {"x-client-request-id": order.request_id, "x-ms-client-request-id": order.request_id},
        "timeout": openai.Timeout(order.timeout, connect=connect, pool=connect),
    }
    images: Any = client.images.with_raw_response  # its overloads cannot follow a body made from data
    if not order.images:
        return await images.generate(**known, **extra)
    files = [_file(f"image{i}", p) for i, p in enumerate(order.images)]
    mask = {"mask": _file("mask", order.mask)} if order.mask is not None else {}
    return await images.edit(image=files if len(files) > 1 else files[0], **mask, **known, **extra)


def _file(name: str, source: Picture) -> tuple[str, bytes, str]:
    return f"{name}.{source.media_type.removeprefix('image/')}", source.data, source.media_type


async def _stream(response: Any, previews: int, until: float) -> AsyncIterator[Step]:
    """A streamed answer, to be whole by `until` (the loop's clock). Who does not stream has sent it in one piece."""
    try:
        if "text/event-stream" in response.headers.get("content-type", ""):
            async for step in openai_stream.read(_pieces(response, until), previews, _request_id(response.headers)):
                yield step
        else:
            content = b"".join([piece async for piece in _pieces(response, until)])
            for step in _read(content, 1):
                yield step
    except ProviderError:
        raise
    except Exception as error:
        raise cut(error, answered=True) from error
    finally:
        await response.aclose()


async def _pieces(response: Any, until: float) -> AsyncIterator[bytes]:
    pieces = aiter(response.aiter_bytes())
    with contextlib.suppress(StopAsyncIteration):
        while True:
            async with asyncio.timeout_at(until):
                piece = await anext(pieces)
            yield piece


def _read(content: bytes, n: int) -> list[Step]:
    answer = decoded(content, _Answer)
    pictures: list[Picture] = []
    lost: list[Step] = []
    for index, item in enumerate(answer.data):
        try:
            pictures.append(picture(item.b64_json, index=index, revised_prompt=told(item.revised_prompt, str)))
        except NotAPicture as error:
            lost.append(Warned(code="partial", message=f"picture {index + 1} of the provider cannot be used: {error}"))
    if not pictures:
        raise bad_response("the provider answered without a picture that can be used")
    return [*_within(pictures, n), *lost, *counted(answer.usage)]


def _within(pictures: list[Picture], n: int) -> list[Picture]:
    """One more than was asked for stands in for one that cannot be used: it is paid for just as well."""
    free = [index for index in range(n) if all(p.index != index for p in pictures)]
    return [replace(p, index=free.pop(0)) if p.index >= n and free else p for p in pictures]


def _failure(error: Exception) -> ProviderError:
    import openai

    return _answered_failure(error) if isinstance(error, openai.APIStatusError) else cut(error)


def _answered_failure(error: Any) -> ProviderError:
    status: int = error.status_code
    headers = error.response.headers
    facts = error.body if isinstance(error.body, dict) else {}
    if status == 429 and against_account(facts):  # noqa: PLR2004  # HTTP
        return refused_account(status, _request_id(headers))
    if status not in BAD_REQUEST:
        return refused_status(status, _request_id(headers), retry_after(headers))
    return refused(facts, status, _request_id(headers))


def _request_id(headers: Mapping[str, str]) -> str | None:
    return headers.get("apim-request-id") or headers.get("x-request-id")
