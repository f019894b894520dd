"""The endpoint at which a managed identity of Azure's App Service gets its tokens, and a certificate of our own."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HEADER = "the secret of this host's identity endpoint"


class IdentityEndpoint:
    """`lives`: seconds that the first tokens of a resource last, one after the other; all others last an hour."""

    def __init__(self) -> None:
        self.lives: list[float] = []
        self.away = False
        self.asked: list[str] = []
        """The resources, one for each token."""
        self.ends: dict[str, float] = {}
        """Unix seconds, by token."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/msi/token"
        self.environment = {"IDENTITY_ENDPOINT": self.url, "IDENTITY_HEADER": HEADER}
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def tokens(self, part: str) -> int:
        """How many were given for resources with this part."""
        return sum(part in resource for resource in self.asked)

    def issue(self, resource: str) -> dict[str, str]:
        now, place = time.time(), self.asked.count(resource)
        end = int(now + (self.lives[place] if place < len(self.lives) else 3600))
        self.asked.append(resource)
        claims = {
            "aud": resource,
            "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
            "iat": int(now) - 10,
            "nbf": int(now) - 10,
            "exp": int(now + 3600),
            "oid": "23657296-5cd5-45b0-a809-d972a7f4dfe1",
            "tid": "ab1f708d-50f6-404c-a006-d71b2ac7a606",
            "ver": "1.0",
            "jti": str(len(self.asked)),
        }
        token = jwt.encode(claims, "k" * 32, "HS256")
        self.ends[token] = end
        return {"access_token": token, "expires_on": str(end), "resource": resource, "token_type": "Bearer"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(endpoint: IdentityEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.headers.get("X-IDENTITY-HEADER") == HEADER and not endpoint.away
            resource = parse_qs(urlsplit(self.path).query).get("resource", [""])[0]
            body = json.dumps(endpoint.issue(resource) if known else {"message": "no identity here"}).encode()
            self.send_response(200 if known else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


@contextmanager
def running_identity_endpoint() -> Iterator[IdentityEndpoint]:
    endpoint = IdentityEndpoint()
    try:
        yield endpoint
    finally:
        endpoint.close()


def certificate(folder: Path) -> tuple[Path, Path]:
    """Files of a certificate for 127.0.0.1 that is its own authority, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of our own")])
    loopback = x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "authority.pem", folder / "authority.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
