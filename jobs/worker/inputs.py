"""The input pictures of a job, in hand."""

from __future__ import annotations

from msgspec import Struct

from jobs.model.picture import Picture


class Loaded(Struct, frozen=True):
    """A request's input pictures in hand, fit to be sent."""

    images: tuple[Picture, ...] = ()
    mask: Picture | None = None
