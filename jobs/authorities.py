"""Certificate authorities of one's own: trusted by every TLS client of this process."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import certifi

from jobs.errors import ConfigurationError


def trust(own: Path | None, folder: Path) -> None:
    """Have the authorities of `DARKROOM_CA_FILE` trusted beside the known ones; `folder` is where both lie together.

    OpenSSL, and every client here, takes them from the file that `SSL_CERT_FILE` names. Raises `ConfigurationError`.
    """
    if own is None:
        return
    try:
        text = own.read_text()
        ssl.create_default_context(cadata=text)
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"authorities.{os.getpid()}"
        draft.write_text(f"{certifi.contents()}\n{text}")
        os.environ["SSL_CERT_FILE"] = str(draft.replace(folder / "authorities.pem"))
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise ConfigurationError(f"DARKROOM_CA_FILE: {own}: {error}") from None


def trusted() -> str | None:
    """The file of all that are trusted; None: the known ones. aiohttp, once loaded, has to be told."""
    return os.environ.get("SSL_CERT_FILE")
