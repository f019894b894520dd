"""Signatures of deliveries (Standard Webhooks)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from jobs.webhooks.delivery import Delivery
from jobs.webhooks.endpoint import read_secret

SIGNING: Final = "webhook ed25519"
"""The purposes of the two keys that are derived from `DARKROOM_SECRET_KEY`."""


class Signer:
    """Signs posts: by their own secrets (`v1`, HMAC-SHA256) where they have any, else by our key (`v1a`, Ed25519)."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    def headers(self, delivery: Delivery, whsecs: Sequence[str], timestamp: int) -> dict[str, str]:
        """The three headers of Standard Webhooks. `timestamp` in Unix seconds; `whsecs` as they were given."""
        content = f"{delivery.event_id}.{timestamp}.{delivery.body}".encode()
        keys = [key for secret in whsecs if (key := read_secret(secret)) is not None]
        signed = [("v1", hmac.digest(key, content, hashlib.sha256)) for key in keys]
        return {
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(
                f"{version},{base64.b64encode(signature).decode()}"
                for version, signature in signed or [("v1a", self._key.sign(content))]
            ),
        }

    def jwk(self) -> Mapping[str, str]:
        """The public half of our key (RFC 8037), named by its thumbprint (RFC 7638)."""
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        named = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
        thumbprint = _base64url(hashlib.sha256(msgspec.json.encode(named)).digest())
        return {**named, "kid": thumbprint, "use": "sig", "alg": "EdDSA"}


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
