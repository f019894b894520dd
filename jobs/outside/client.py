"""The guarded HTTP client for strangers' addresses: nothing is dialled that was not checked (OWASP SSRF prevention)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import cache
from ipaddress import ip_address
from typing import Any, Final, TypeVar

import httpcore
from msgspec import Struct

from jobs.outside.address import PORTS, Address, AddressRefused, FetchFailed, Policy, check, check_ip, parse

GET_SECONDS: Final = 10.0
"""What a picture may take in all, from the name's resolution to the last byte."""
POST_SECONDS: Final = 15.0
"""What a post may take until its response has begun."""
BODY_SECONDS: Final = 2.0
"""What the body of a response to a post may take."""
MAX_BYTES: Final = 20 * 1024 * 1024
"""Of a picture."""
MAX_RESPONSE_BYTES: Final = 64 * 1024
"""Of the body of a response to a post; the rest is not read."""
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""A host name's addresses; the port is passed on for the resolver's sake."""

_CUT: Final = (httpcore.ProtocolError, httpcore.NetworkError, httpcore.TimeoutException)
_HEAD: Final = 12
"""Bytes by which a picture is told from anything else."""

_T = TypeVar("_T")


class Response(Struct, frozen=True):
    """What a post was answered: status, headers in lower case, and at most 64 KiB of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outside:
    """A client for one policy. Nothing is kept between two calls: no pool, cookies, credentials or proxies."""

    def __init__(
        self,
        policy: Policy,
        *,
        resolve: Resolve | None = None,
        backend: httpcore.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._resolve = resolve or _resolve
        self._backend = backend
        self._ssl_context = ssl_context

    async def get(
        self,
        url: str,
        *,
        seconds: float = GET_SECONDS,
        most: int = MAX_BYTES,
        accept: Callable[[bytes], bool] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of a 200, whole and at most `most` bytes; `accept` looks at its first 12. Raises `OutsideError`."""
        return await _in_time(self._get(url, most, accept, headers or {}), seconds)

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, seconds: float = POST_SECONDS
    ) -> Response:
        """Post `body`; any status is a response, redirects are not followed. Raises `OutsideError`."""
        return await _in_time(self._post(url, headers, body), seconds)

    async def _get(
        self, url: str, most: int, accept: Callable[[bytes], bool] | None, headers: Mapping[str, str]
    ) -> bytes:
        address = parse(url)
        sent = [*_headers(address), *_encoded(headers)]
        async with (
            self._pool(await self._checked(address)) as pool,
            pool.stream("GET", _url(address), headers=sent) as response,
        ):
            if response.status != 200:  # noqa: PLR2004  # a 206 or 204 is no whole picture
                raise FetchFailed(f"status {response.status}")
            length = _declared_length(response, most)
            return await _whole(response.aiter_stream(), length, most, accept)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        address = parse(url)
        sent = [*_headers(address), (b"Content-Length", str(len(body)).encode())]
        sent += _encoded(headers)
        async with (
            self._pool(await self._checked(address)) as pool,
            pool.stream("POST", _url(address), headers=sent, content=body) as response,
        ):
            got = await _beginning(response.aiter_stream())
            read = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            return Response(response.status, read, got)

    async def _checked(self, address: Address) -> str:
        """The one IP that will be dialled. Every IP that the name has must be fit."""
        check(address, self._policy)
        if address.literal is not None:
            return str(address.literal)
        try:
            found = [ip_address(ip) for ip in await self._resolve(address.host, address.port)]
        except (OSError, ValueError, UnicodeError) as error:
            raise AddressRefused("name not resolved") from error
        if not found:
            raise AddressRefused("name not resolved")
        for ip in found:
            check_ip(address, ip, self._policy)
        return str(found[0])

    def _pool(self, ip: str) -> httpcore.AsyncConnectionPool:
        context = self._ssl_context or _context()
        return httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=1,
            max_keepalive_connections=0,
            http1=True,
            http2=False,
            retries=0,
            network_backend=_Pinned(ip, self._backend or httpcore.AnyIOBackend()),
        )


class _Pinned(httpcore.AsyncNetworkBackend):
    """Dials the checked IP, whatever it is asked for: the URL keeps the name for SNI, certificate and Host."""

    def __init__(self, ip: str, backend: httpcore.AsyncNetworkBackend) -> None:
        self._ip = ip
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002  # that it is ignored is the point
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore names it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the one IP that was checked."""
        stream = await self._backend.connect_tcp(
            self._ip, port, timeout=timeout, local_address=local_address, socket_options=socket_options
        )
        reached = stream.get_extra_info("server_addr")
        if reached is not None and ip_address(reached[0]) != ip_address(self._ip):
            await stream.aclose()
            raise FetchFailed("another address was reached")
        return stream

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002  # httpcore names it
        timeout: float | None = None,  # noqa: ARG002, ASYNC109  # httpcore names it
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002  # httpcore names it
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise AddressRefused("unix socket")

    async def sleep(self, seconds: float) -> None:
        """As httpcore asks."""
        await self._backend.sleep(seconds)


async def _in_time(work: Awaitable[_T], seconds: float) -> _T:
    """One clock round name, connection, TLS, headers and body. Everything foreign becomes `FetchFailed`."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise FetchFailed("too slow") from None
    except (*_CUT, OSError, ssl.SSLError) as error:
        raise FetchFailed(type(error).__name__) from error


async def _resolve(host: str, port: int) -> list[str]:
    """Addresses of IPv4; those of IPv6 where there are none: who has both is reached where IPv6 is not routed, too."""
    try:
        return await _addresses(host, port, socket.AF_INET)
    except socket.gaierror:
        return await _addresses(host, port, socket.AF_INET6)


async def _addresses(host: str, port: int, family: socket.AddressFamily) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    return [str(socket_address[0]) for *_, socket_address in found]


def _url(address: Address) -> httpcore.URL:
    return httpcore.URL(
        scheme=address.scheme.encode(), host=address.host.encode(), port=address.port, target=address.path.encode()
    )


def _headers(address: Address) -> list[tuple[bytes, bytes]]:
    default = address.port == PORTS[address.scheme]
    return [
        (b"Host", (address.host if default else f"{address.host}:{address.port}").encode()),
        (b"User-Agent", b"Darkroom"),
        (b"Accept", b"*/*"),
        (b"Accept-Encoding", b"identity"),
        (b"Connection", b"close"),
    ]


def _declared_length(response: httpcore.Response, most: int) -> int | None:
    """`Content-Length` of a response that may be read; None: it did not say. Raises `FetchFailed`."""
    headers = [(name.lower(), value.strip()) for name, value in response.headers]
    if any(name == b"content-encoding" and value.lower() not in {b"", b"identity"} for name, value in headers):
        raise FetchFailed("content encoding")
    lengths = [value for name, value in headers if name == b"content-length"]
    if not lengths:
        return None
    if len(lengths) > 1 or any(name == b"transfer-encoding" for name, _ in headers):
        raise FetchFailed("two lengths")
    if not lengths[0].isdigit() or len(lengths[0]) > 12 or int(lengths[0]) > most:  # noqa: PLR2004  # a terabyte
        raise FetchFailed("length")
    return int(lengths[0])


async def _whole(
    pieces: AsyncIterator[bytes], length: int | None, most: int, accept: Callable[[bytes], bool] | None
) -> bytes:
    body = bytearray()
    looked = accept is None
    async for piece in pieces:
        body += piece
        if len(body) > most:
            raise FetchFailed("too large")
        if not looked and len(body) >= _HEAD:
            looked = _look(bytes(body[:_HEAD]), accept)
    if not looked:
        _look(bytes(body[:_HEAD]), accept)
    if length is not None and len(body) != length:
        raise FetchFailed("cut short")
    return bytes(body)


async def _beginning(pieces: AsyncIterator[bytes]) -> bytes:
    """What there is of a body, within its own short time: the status has been said, the rest is courtesy."""
    got = bytearray()
    with contextlib.suppress(TimeoutError, *_CUT):
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in pieces:
                got += piece
                if len(got) >= MAX_RESPONSE_BYTES:
                    break
    return bytes(got[:MAX_RESPONSE_BYTES])


def _look(head: bytes, accept: Callable[[bytes], bool] | None) -> bool:
    if accept is not None and not accept(head):
        raise FetchFailed("magic")
    return True


@cache
def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
