"""Takes out of a PNG what some makers write into it beside the picture, as ComfyUI does the whole graph."""

from __future__ import annotations

from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_TEXTS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt", b"eXIf"})
_FRAME: Final = 12
"""Bytes of a chunk beside its data: length, type and CRC (PNG third edition, 5.3)."""


def without_text(data: bytes) -> bytes:
    """The same picture without text and EXIF; what is no PNG, or not whole from some chunk on, stays as it is there."""
    if not data.startswith(_SIGNATURE):
        return data
    kept, at = [_SIGNATURE], len(_SIGNATURE)
    while at + _FRAME <= len(data):
        end = at + _FRAME + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] not in _TEXTS:
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])
