"""`If-None-Match` (RFC 9110 section 13.1.2)."""

from __future__ import annotations

import re
from typing import Final

_TAG: Final = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def unchanged(if_none_match: str | None, tag: str) -> bool:
    """Whether the client has what the tag stands for: by weak comparison, or because anything (`*`) will do."""
    text = (if_none_match or "").strip()
    return text == "*" or opaque(tag) & opaque(text) != set()


def opaque(text: str) -> set[str]:
    """What stands between the quotes of each tag, weak or strong."""
    return set(_TAG.findall(text))
