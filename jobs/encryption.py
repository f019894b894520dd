"""Secrets that we must read again, encrypted where they are kept (AES-256-GCM, NIST SP 800-38D)."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


class SealBroken(Exception):
    """The text was not sealed with this key: `DARKROOM_SECRET_KEY` has changed, or the text has."""


class Sealer:
    """Seals and opens with one key of 32 bytes. The nonce is random: enough for 2^32 secrets a key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, secret: str) -> str:
        """The secret as text that is safe to keep."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, secret.encode(), None)).decode()

    def open(self, sealed: str) -> str:
        """The reverse of `seal`. Raises `SealBroken`."""
        try:
            raw = base64.b64decode(sealed, validate=True)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], None).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise SealBroken from error
