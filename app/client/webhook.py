"""Whether a webhook is the gateway's (Standard Webhooks): by a secret (`v1`), or by the gateway's own key (`v1a`)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.client.errors import SignatureInvalid
from app.client.job import Event

TOLERANCE_SECONDS: Final = 300


def verify_webhook(
    body: bytes, headers: Mapping[str, str], *, secret: str | None = None, jwks: Mapping[str, Any] | None = None
) -> Event:
    """The event of a post, once it is known to be the gateway's. `body` as it came, before anything reads it.

    `secret`: the endpoint's (`whsec_…`); `jwks`: what `/.well-known/jwks.json` says. Raises `SignatureInvalid`.
    """
    told = {name.lower(): value for name, value in headers.items()}
    try:
        name, stamp, signatures = (told[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
        seconds = int(stamp)
    except (KeyError, ValueError):
        raise SignatureInvalid("the headers of a signature are missing") from None
    if abs(time.time() - seconds) > TOLERANCE_SECONDS:
        raise SignatureInvalid(f"it was signed more than {TOLERANCE_SECONDS} seconds from now")
    content = f"{name}.{stamp}.".encode() + body
    if not any(_signed(content, signature, secret, jwks) for signature in signatures.split()):
        raise SignatureInvalid("no signature is the gateway's")
    return msgspec.json.decode(body, type=Event)


def _signed(content: bytes, signature: str, secret: str | None, jwks: Mapping[str, Any] | None) -> bool:
    version, _, text = signature.partition(",")
    try:
        given = base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    if version == "v1" and secret is not None:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        return hmac.compare_digest(hmac.digest(key, content, hashlib.sha256), given)
    return version == "v1a" and any(_signed_by(jwk, content, given) for jwk in (jwks or {}).get("keys", ()))


def _signed_by(jwk: Mapping[str, str], content: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "==")).verify(signature, content)
    except (InvalidSignature, KeyError, ValueError):
        return False
    return True
