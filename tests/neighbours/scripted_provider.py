"""A far end that says exactly what a test tells it, byte for byte, and the providers asked against it."""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import functools
import json
import os
import tempfile
from collections.abc import AsyncIterator
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from unittest.mock import patch

import certifi
import pytest
from msgspec import Struct

from jobs.catalog.families import Catalog
from jobs.errors import ProviderError
from jobs.model.picture import Picture
from jobs.model.request import ImageRequest
from jobs.providers.base import Order, Provider, Step
from jobs.providers.google.gemini import Gemini
from jobs.providers.google.imagen import Imagen
from jobs.providers.openai.azure import AzureOpenAI
from jobs.providers.openai.openai import OpenAI

CUT = b""
"""A reply: the connection is reset once the request has been read."""
HANG = None
"""A reply: nothing, for as long as the caller stays."""
KEY = "key-that-nobody-may-read"
PROMPT = "a secret mug"
MODELS = {
    "azure-openai": "gpt-image-2",
    "openai": "gpt-image-2",
    "gemini": "gemini-3-pro-image",
    "imagen": "imagen-4.0-generate-001",
}
ALL = tuple(MODELS)
EDITING = tuple(provider for provider in ALL if provider != "imagen")
"""Those that take pictures, and may answer with a picture's address."""
OPENAI = ("azure-openai", "openai")


class Asked(Struct, frozen=True):
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def parts(self) -> list[tuple[str, str | None, str, bytes]]:
        """Name, file name, media type and bytes of each part of a multipart form, in their order."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        form = BytesParser(policy=HTTP).parsebytes(head + self.body)
        return [
            (
                part.get_param("name", header="content-disposition"),
                part.get_filename(),
                part.get_content_type(),
                part.get_payload(decode=True),
            )
            for part in form.iter_parts()
        ]


class FarEnd:
    """Answers every request, and bytes that are none, with `reply`: whole HTTP responses as bytes, `CUT` or `HANG`."""

    def __init__(self) -> None:
        self.url = ""
        self.reply: bytes | None = HANG
        self.replies: dict[str, bytes] = {}
        """What is answered to a request of a method, before `reply`."""
        self.pause = 0.0
        """Seconds between one byte of a body and the next."""
        self.closes_on_reuse = False
        """Resets a connection that has been idle as the next request arrives on it."""
        self.asked: list[Asked] = []
        self.open: set[asyncio.Task[None]] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(asyncio.current_task())
        used = False
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                first = await reader.readexactly(1)
                if self.closes_on_reuse and used:
                    writer.transport.abort()
                    break
                used = True
                if first.isalpha():
                    self.asked.append(await _read(first, reader))
                reply = self.replies.get(self.asked[-1].method, self.reply) if self.asked else self.reply
                if reply is HANG:
                    await reader.read()
                    break
                if reply == CUT:
                    writer.transport.abort()
                    break
                await self._write(writer, reply)
                if b"connection: close" in reply.lower() or not first.isalpha():
                    break

    async def asked_by(self, provider: str, **asked: Any) -> list[Step]:
        """What a provider makes of one call, whatever else it asks for."""
        return await steps(provider, self.url, order(provider, **asked))

    async def failing(self, provider: str, **asked: Any) -> ProviderError:
        """The error of one call."""
        return (await self.ending(provider, **asked))[1]

    async def ending(self, provider: str, **asked: Any) -> tuple[list[Step], ProviderError]:
        """What a call that fails brings before, and its error."""
        found: list[Step] = []
        with pytest.raises(ProviderError) as caught:
            await self._collect(provider, found, order(provider, **asked))
        return found, caught.value

    async def _collect(self, provider: str, found: list[Step], asked: Order) -> None:
        async with opened(provider, self.url) as client:
            async for step in client.generate(asked):
                found.append(step)  # noqa: PERF401  # what came before an error is kept

    async def _write(self, writer: asyncio.StreamWriter, reply: bytes) -> None:
        head = reply.index(b"\r\n\r\n") + 4 if self.pause else len(reply)
        writer.write(reply[:head])
        for at in range(head, len(reply)):
            await asyncio.sleep(self.pause)
            writer.write(reply[at : at + 1])
            await writer.drain()
        await writer.drain()


@contextlib.asynccontextmanager
async def running_far_end(reply: bytes | None = HANG) -> AsyncIterator[FarEnd]:
    """A far end on a free port of loopback, in this event loop."""
    far = FarEnd()
    far.reply = reply
    server = await asyncio.start_server(far.answer, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    far.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield far
    finally:
        server.close()
        for task in far.open:
            task.cancel()
        await asyncio.gather(*far.open, return_exceptions=True)


def response(status: int, body: object = b"", **headers: str) -> bytes:
    """A whole HTTP response; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {"content_type": "application/json", "content_length": str(len(data)), **headers}
    lines = [f"HTTP/1.1 {status} X", *(f"{name.replace('_', '-')}: {value}" for name, value in told.items())]
    return "\r\n".join([*lines, "", ""]).encode() + data


def success(provider: str, *pictures: bytes) -> dict[str, Any]:
    """A true answer of the provider's wire, with each of the pictures."""
    if provider == "gemini":
        parts = [{"inlineData": {"mimeType": "image/png", "data": b64(p)}} for p in pictures]
        return {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    if provider == "imagen":
        return {"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": b64(p)} for p in pictures]}
    return {"created": 1, "data": [{"b64_json": b64(p)} for p in pictures]}


def failure(provider: str, status: int, message: str, **more: object) -> dict[str, Any]:
    """A true error body of the provider's wire."""
    if provider in {"gemini", "imagen"}:
        return {"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT", **more}}
    return {"error": {"message": message, "type": "x", "param": None, "code": None, **more}}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@contextlib.asynccontextmanager
async def opened(provider: str, url: str, *, version: str = "2025-04-01-preview") -> AsyncIterator[Provider]:
    """A provider of that name whose far end is at `url`."""
    match provider:
        case "azure-openai":
            client: Provider = AzureOpenAI(endpoint=url, api_key=KEY, api_version=version)
        case "openai":
            client = OpenAI(api_key=KEY, base_url=f"{url}/v1")
        case "imagen":
            client = Imagen(api_key=KEY, base_url=url)
        case _:
            client = Gemini(api_key=KEY, base_url=url)
    with patch.dict(os.environ, SSL_CERT_FILE=_one_authority()):
        await client.open()
    try:
        yield client
    finally:
        await client.close()


def order(
    provider: str,
    *,
    model: str | None = None,
    n: int = 1,
    images: tuple[Picture, ...] = (),
    mask: Picture | None = None,
    timeout: float = 5.0,
    prompt: str = PROMPT,
    **fields: Any,
) -> Order:
    """An order; `fields` are those of the request."""
    request = ImageRequest(provider=provider, model=model or MODELS[provider], prompt=prompt, n=n, **fields)
    family = Catalog.load().family(provider, request.model)
    return Order(request=request, family=family, n=n, images=images, mask=mask, request_id="job_1", timeout=timeout)


async def steps(provider: str, url: str, asked: Order) -> list[Step]:
    async with opened(provider, url) as client:
        return [step async for step in client.generate(asked)]


async def told(provider: str, reply: bytes, **asked: Any) -> tuple[list[Step], Asked]:
    """What a provider makes of one reply, and the one request that arrived."""
    async with running_far_end(reply) as far:
        found = await steps(provider, far.url, order(provider, **asked))
        assert len(far.asked) == 1
        return found, far.asked[0]


async def failed(provider: str, reply: bytes | None, *, pause: float = 0.0, **asked: Any) -> ProviderError:
    """The error that a provider makes of one reply, after one call and no more."""
    async with running_far_end(reply) as far:
        far.pause = pause
        with pytest.raises(ProviderError) as caught:
            await steps(provider, far.url, order(provider, **asked))
        assert len(far.asked) == 1
        return caught.value


async def unsent(provider: str, url: str, **asked: Any) -> ProviderError:
    """The error of an order that reaches nobody at `url`."""
    with pytest.raises(ProviderError) as caught:
        await steps(provider, url, order(provider, **asked))
    return caught.value


@functools.cache
def _one_authority() -> str:
    """A file of one: reading all that there are takes longer than a call, and nobody here shows a certificate."""
    pem = certifi.contents().partition("-----BEGIN")[2].partition("-----END CERTIFICATE-----")[0]
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
        atexit.register(os.unlink, file.name)
        file.write(f"-----BEGIN{pem}-----END CERTIFICATE-----\n")
        return file.name


async def _read(first: bytes, reader: asyncio.StreamReader) -> Asked:
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    method, path, _ = head[0].split(" ")
    if headers.get("transfer-encoding") == "chunked":
        return Asked(method, path, headers, await _chunks(reader))
    return Asked(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body
