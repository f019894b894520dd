"""A far end on loopback that says any bytes at any pace, with certificates, and networks that note what is dialled."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Mapping
from ipaddress import IPv4Address
from typing import Any, Literal

import httpcore
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from msgspec import Struct


class Script(Struct, frozen=True):
    """What a connection is told: `first` once, then `again` for as long as the caller stays, then the end.

    With `deaf` it does not wait for a request before it speaks.
    """

    first: bytes = b""
    again: bytes = b""
    pause: float = 0.0
    then: Literal["close", "reset", "hang"] = "close"
    deaf: bool = False


class BadServer:
    """Follows `script` on every connection. `asked`: requests as they arrived, head and body; `sent`: bytes taken.

    `arrived` and `left` are set once a request was read, and once a connection came to its end.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.port = 0
        self.connections = 0
        self.asked: list[bytes] = []
        self.sent = 0
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()

    @property
    def request_line(self) -> str:
        return self.asked[-1].partition(b"\r\n")[0].decode()

    @property
    def headers(self) -> dict[str, str]:
        """Header fields of the last request, names in lower case."""
        lines = self.asked[-1].partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def body(self) -> bytes:
        return self.asked[-1].partition(b"\r\n\r\n")[2]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        self.connections += 1
        script = self.script
        try:
            if not script.deaf:
                self.asked.append(await _request(reader))
                self.arrived.set()
            await self._send(writer, script.first)
            while script.again:
                await asyncio.sleep(script.pause)
                await self._send(writer, script.again)
            if script.then == "hang":
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.left.set()
            if script.then == "reset":
                writer.transport.abort()
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        view = memoryview(data)
        for at in range(0, len(view), 65_536):
            writer.write(view[at : at + 65_536])
            await writer.drain()
            if writer.is_closing():
                raise ConnectionResetError
            self.sent += len(view[at : at + 65_536])


@contextlib.asynccontextmanager
async def bad_server(
    script: Script, *, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[BadServer]:
    """A server on a free port of loopback, in this event loop; nothing of it outlives the block."""
    far = BadServer(script)
    server = await asyncio.start_server(far.answer, address, port, ssl=tls, limit=4 * 1024 * 1024)
    far.port = server.sockets[0].getsockname()[1]
    try:
        yield far
    finally:
        server.close()
        for task in far.tasks:
            task.cancel()
        await asyncio.gather(*far.tasks, return_exceptions=True)


class Recorder(httpcore.AsyncNetworkBackend):
    """A network that refuses every connection, and keeps who was dialled."""

    def __init__(self) -> None:
        self.dialled: list[tuple[str, int]] = []

    async def connect_tcp(self, host: str, port: int, **_: Any) -> httpcore.AsyncNetworkStream:
        self.dialled.append((host, port))
        raise httpcore.ConnectError("this network has no far end")

    async def connect_unix_socket(self, path: str, **_: Any) -> httpcore.AsyncNetworkStream:
        self.dialled.append((path, 0))
        raise httpcore.ConnectError("this network has no far end")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Turned(httpcore.AnyIOBackend):
    """The real network, with some addresses or ports led elsewhere; keeps who was dialled."""

    def __init__(self, *, hosts: Mapping[str, str] | None = None, ports: Mapping[int, int] | None = None) -> None:
        self.hosts = hosts or {}
        self.ports = ports or {}
        self.dialled: list[tuple[str, int]] = []

    async def connect_tcp(self, host: str, port: int, **more: Any) -> httpcore.AsyncNetworkStream:
        self.dialled.append((host, port))
        return await super().connect_tcp(self.hosts.get(host, host), self.ports.get(port, port), **more)


class Authority:
    """A certificate authority of a test's own."""

    def __init__(self, folder):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
        self.certificate = self._sign(self.name, self.key, [], authority=True)

    def trusting(self):
        """A client's context that believes this authority alone."""
        return ssl.create_default_context(cadata=self.certificate.public_bytes(Encoding.PEM).decode())

    def serving(self, *names, days=1, own=False):
        """A server's context, and the list of the names that clients ask it for."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a far end")])
        certificate = self._sign(subject, key, names, days=days, own=own)
        file = self.folder / f"{certificate.serial_number}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file)
        asked = []
        context.sni_callback = lambda _, name, __: asked.append(name)
        return context, asked

    def _sign(self, subject, key, names, *, days=1, own=False, authority=False):
        now = dt.datetime.now(dt.UTC)
        day = dt.timedelta(days=1)
        dns = [x509.IPAddress(IPv4Address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
        issuer = subject if own else self.name
        made = (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - 9 * day)
            .not_valid_after(now + days * day)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if dns:
            made = made.add_extension(x509.SubjectAlternativeName(dns), critical=False)
        return made.sign(key if own else self.key, hashes.SHA256())


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    return head
