"""Session tokens as NextAuth 4 and Auth.js 5 make them: claims in a compact JWE (RFC 7516), its key from the secret."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.padding import PKCS7
from msgspec import Struct

from app.auth.session_cookies import NAMES, NEXTAUTH_4, SessionCookie

TOLERANCE_SECONDS: Final = 15
"""How far the front end's clock may be off, as in both libraries."""


def is_jwe(token: str) -> bool:
    """Whether a token holds its claims itself; any other is the name of a session in the front end's database."""
    return _JWE.fullmatch(token) is not None


class SessionKeys:
    """The keys of every secret that holds: while a front end changes its secret, the old one does beside the new."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = {(n, enc): [_key(s, n, enc) for s in secrets] for n in NAMES for enc in _SIZES}

    def claims(self, cookie: SessionCookie) -> Mapping[str, Any] | None:
        """What the token of a cookie says, where it was made under one of the secrets and has not ended; else None."""
        protected, _, iv, ciphertext, tag = cookie.token.split(".")
        header = _object(_bytes(protected))
        encryption, kid = str(header.get("enc")), header.get("kid")
        sealed = _Sealed(protected.encode(), _bytes(iv), _bytes(ciphertext), _bytes(tag))
        for key in self._keys.get((cookie.name, encryption), ()) if header.get("alg") == "dir" else ():
            fits = kid is None or kid == key.thumbprint
            text = sealed.opened(key.data, encryption) if fits else None
            if text is not None:
                return _in_time(_object(text))
        return None


class _Key(Struct, frozen=True):
    data: bytes
    thumbprint: str
    """RFC 7638, by which Auth.js names the key among several (`kid`)."""


class _Sealed(Struct, frozen=True):
    """What stands between the dots; the header is what is authenticated beside the text."""

    header: bytes
    iv: bytes
    ciphertext: bytes
    tag: bytes

    def opened(self, key: bytes, encryption: str) -> bytes | None:
        """The text; None: another key has sealed it, or somebody has changed it."""
        try:
            return self._by_gcm(key) if encryption == _GCM else self._by_cbc(key)
        except (InvalidTag, ValueError):
            return None

    def _by_gcm(self, key: bytes) -> bytes:
        return AESGCM(key).decrypt(self.iv, self.ciphertext + self.tag, self.header)

    def _by_cbc(self, key: bytes) -> bytes:
        """RFC 7518 section 5.2: the first half of the key signs, the second encrypts."""
        length = (len(self.header) * 8).to_bytes(8, "big")
        signed = hmac.digest(key[:32], self.header + self.iv + self.ciphertext + length, "sha512")[:32]
        if not hmac.compare_digest(signed, self.tag):
            raise InvalidTag
        decryptor = Cipher(algorithms.AES(key[32:]), modes.CBC(self.iv)).decryptor()
        unpadder = PKCS7(128).unpadder()
        padded = decryptor.update(self.ciphertext) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()


_GCM: Final = "A256GCM"
_SIZES: Final = {_GCM: 32, "A256CBC-HS512": 64}
"""The ways of encryption that both libraries read, with the bytes of their keys."""
_DIGESTS: Final = {32: "sha256", 64: "sha512"}
_JWE: Final = re.compile(r"[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def _key(secret: str, cookie: str, encryption: str) -> _Key:
    """HKDF-SHA256 (RFC 5869): NextAuth 4 has one key for all, Auth.js 5 one a cookie."""
    salt, about = cookie, f"Auth.js Generated Encryption Key ({cookie})"
    if cookie.endswith(NEXTAUTH_4):
        salt, about = "", "NextAuth.js Generated Encryption Key"
    size = _SIZES[encryption]
    data = HKDF(hashes.SHA256(), size, salt.encode(), about.encode()).derive(secret.encode())
    told = json.dumps({"k": _text(data), "kty": "oct"}, separators=(",", ":"))
    return _Key(data, _text(hashlib.new(_DIGESTS[size], told.encode()).digest()))


def _in_time(claims: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The claims of a session that has not ended; both libraries give each an end."""
    end = claims.get("exp")
    holds = isinstance(end, int | float) and end > time.time() - TOLERANCE_SECONDS
    return claims if holds else None


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _bytes(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        return b""


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
