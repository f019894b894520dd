"""What a provider is: one order in, the steps of its making out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from msgspec import Struct

from jobs.catalog.families import Family
from jobs.model.picture import Picture, Usage
from jobs.model.request import ImageRequest


class Order(Struct, frozen=True, kw_only=True):
    """One provider call's worth of a request, with its input pictures loaded."""

    request: ImageRequest
    family: Family
    """What the catalog knows of the model."""
    n: int
    """How many pictures this one call shall make; never more than `catalog.per_call`."""
    images: tuple[Picture, ...] = ()
    mask: Picture | None = None
    request_id: str = ""
    """Sent along as the provider's client request id, for support only."""
    timeout: float
    """Seconds that the call may take in all."""


class Accepted(Struct, frozen=True):
    """The provider took the order and can be asked about it by `handle`; stored before the wait."""

    handle: str


class Answered(Struct, frozen=True, kw_only=True):
    """The provider's answer has begun: its HTTP status and its own request id."""

    status: int
    request_id: str | None = None


class Progressed(Struct, frozen=True, kw_only=True):
    """How far the provider says it is, from 0 to 1."""

    value: float
    step: int | None = None
    steps: int | None = None


class PartialImage(Struct, frozen=True):
    """A picture on the way: not a result. `place` counts the previews of one picture, from 0."""

    picture: Picture
    place: int


class Text(Struct, frozen=True):
    """Words beside the picture."""

    text: str


class Warned(Struct, frozen=True, kw_only=True):
    """Something that the provider could not honour."""

    code: str
    message: str
    field: str | None = None


class Unusable(Struct, frozen=True):
    """What came for a picture and is none, or an answer that nobody can read: paid for, and kept for the operator."""

    data: bytes


Step = Accepted | Answered | Progressed | PartialImage | Picture | Unusable | Usage | Text | Warned


class Provider(Protocol):
    """A far end. Its fields are its settings; it translates and does nothing else: no retries, no storage.

    Everything foreign is raised as `errors.ProviderError`. SDKs are imported inside `open`.
    """

    async def open(self) -> None:
        """Make the long-lived client."""

    async def close(self) -> None:
        """Close the client and its connections."""

    def generate(self, order: Order) -> AsyncIterator[Step]:
        """Make (or, with `order.images`, edit) `order.n` pictures: exactly one paid call.

        Raises `errors.ProviderError`.
        """
        ...


@runtime_checkable
class Resumable(Protocol):
    """A provider that can be asked again about an order that it accepted."""

    def resume(self, order: Order, handle: str) -> AsyncIterator[Step]:
        """Go on with the order behind `handle`; makes no new paid call."""
        ...


@runtime_checkable
class Cancelable(Protocol):
    """A provider that can stop one order."""

    async def cancel(self, handle: str) -> bool:
        """Interrupt the order behind `handle` and only that; whether the provider agreed."""
        ...
