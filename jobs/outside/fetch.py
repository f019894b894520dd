"""Bring a caller's picture home, or say one thing for every reason that it stays away."""

from __future__ import annotations

from typing import Final

import structlog

from jobs.errors import InvalidPicture
from jobs.outside.address import OutsideError
from jobs.outside.client import Outside
from jobs.pictures.sniff import sniff

NOT_FETCHED: Final = (
    "no picture could be fetched from this address: it must be an https URL on an allowed host that answers 200 "
    "with at most 20 MB within 10 s, without a redirect; or download the picture and send it as b64"
)
NOT_FETCHED_ANYWHERE: Final = (
    "no picture could be fetched from this address: it must be a public http or https URL that answers 200 "
    "with at most 20 MB within 10 s, without a redirect; or send the picture itself"
)

_log = structlog.get_logger()


async def fetch_picture(outside: Outside, url: str, *, refusal: str = NOT_FETCHED) -> bytes:
    """The bytes behind a link: at most 20 MiB, within 10 s in all, and a picture by its first bytes.

    Raises `InvalidPicture` with one text, `refusal`, whatever was behind the address: no port scan by error messages.
    """
    try:
        return await outside.get(url, accept=lambda head: sniff(head) is not None)
    except OutsideError as error:
        _log.info("picture not fetched", kind=type(error).__name__, rule=error.rule)
        raise InvalidPicture(refusal) from None
