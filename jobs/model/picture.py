"""Pictures: in hand, stored, and on their way."""

from __future__ import annotations

from msgspec import Struct


class Picture(Struct, frozen=True, kw_only=True):
    """Bytes in hand, in memory only. `index` counts the pictures of one provider call, from 0."""

    data: bytes
    media_type: str
    revised_prompt: str | None = None
    index: int = 0


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Tokens as the provider counted them."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_text_tokens: int | None = None
    input_image_tokens: int | None = None

    def plus(self, other: Usage | None) -> Usage:
        """The sum of two calls' usage; a count that neither reported stays `None`."""
        if other is None:
            return self
        pairs = {f: (getattr(self, f), getattr(other, f)) for f in self.__struct_fields__}
        return Usage(**{f: None if a is b is None else (a or 0) + (b or 0) for f, (a, b) in pairs.items()})


class Image(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One picture of a result, safe in the blob store."""

    index: int
    url: str
    blob: str
    media_type: str
    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    """None: its own head does not say."""
    revised_prompt: str | None = None

    @property
    def size(self) -> str | None:
        """`WIDTHxHEIGHT` in pixels, where that is known."""
        return None if self.width is None or self.height is None else f"{self.width}x{self.height}"


class Preview(Struct, frozen=True, kw_only=True):
    """A look at a picture on its way, in the blob store for an hour. `partial_index` counts those of one picture."""

    index: int
    """Of the picture in the job, from 0."""
    partial_index: int
    url: str
    media_type: str
    width: int
    height: int
