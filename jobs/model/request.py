"""What every face asks for, in one vocabulary."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct


class Link(Struct, frozen=True, tag="link", omit_defaults=True):
    """A picture at an address that nobody has fetched yet. `media_type` is the one its sender declared."""

    url: str
    media_type: str
    anywhere: bool = False
    """Whether any public host may be asked, over http, too: else those of the allowlist."""


class Blob(Struct, frozen=True, tag="blob"):
    """A picture in our own blob store. `sha256` is hex, so that equal bytes make equal requests."""

    name: str
    media_type: str
    sha256: str = ""


STAGED: Final = "inputs/"
"""Below this, blobs are input pictures that live no longer than their job."""
Source = Link | Blob
"""Where an input picture is. Bytes never enter Redis."""


class ImageRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every face asks for, in one vocabulary. `None` means: the provider's own default."""

    provider: str
    model: str
    prompt: str
    n: int = 1
    size: str | None = None
    """`WIDTHxHEIGHT` in pixels, a ratio such as `16:9`, or `auto`."""
    quality: str | None = None
    style: str | None = None
    negative_prompt: str | None = None
    background: str | None = None
    """`auto`, `opaque` or `transparent`."""
    output_format: str | None = None
    """`png`, `jpeg` or `webp`."""
    output_compression: int | None = None
    """0 to 100; jpeg and webp only."""
    seed: int | None = None
    steps: int | None = None
    moderation: str | None = None
    """`auto` or `low`."""
    input_fidelity: str | None = None
    """`low` or `high`: how closely an edit keeps to its reference images."""
    user: str | None = None
    safety_identifier: str | None = None
    """Who the caller's own end user is, for the provider's abuse checks; `user` is its older name."""
    partial_images: int | None = None
    """Previews (0 to 3) that a call shall bring on its way to the picture."""
    images: tuple[Source, ...] = ()
    """Reference images; any makes the request an edit."""
    mask: Source | None = None
    options: dict[str, dict[str, Any]] = {}
    """Options of one provider, by its name: they fill what the request left open."""

    @property
    def mode(self) -> str:
        """`edit` with a reference image, else `generate`."""
        return "edit" if self.images else "generate"

    @property
    def staged(self) -> tuple[str, ...]:
        """Names of the input pictures that were stored for this request alone."""
        sources = self.images if self.mask is None else (*self.images, self.mask)
        return tuple(s.name for s in sources if isinstance(s, Blob) and s.name.startswith(STAGED))


class Target(Struct, frozen=True):
    """A provider and its own name for the model: where a job is sent."""

    provider: str
    model: str


class Fallback(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a job goes on when the provider before it is known not to have charged: the request in that one's words."""

    target: Target
    changes: dict[str, Any] = {}
    """Fields of the request that differ there: what that model ignores, or takes in another form."""
    warnings: tuple[Warning_, ...] = ()
    unit_price: int = 0
    expected_seconds: float = 1.0


class Warning_(Struct, frozen=True, kw_only=True, omit_defaults=True):  # noqa: N801  # `Warning` is a builtin
    """Something asked for that was not, or not exactly, done. Never silence."""

    code: str
    """`ignored_option`, `adjusted_size`, `adjusted_reference`, `simulated`, `partial`, `damaged_picture`, …"""
    message: str
    field: str | None = None
