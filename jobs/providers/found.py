"""A picture's place in an answer, and what is found there: bytes, an address, or nothing of use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from jobs.model.picture import Picture
from jobs.outside.address import OutsideError
from jobs.pictures.heads import kind_of
from jobs.providers.base import Step, Unusable, Warned
from jobs.providers.replies import hidden, picture_bytes

if TYPE_CHECKING:
    from jobs.providers.answers import Document
    from jobs.providers.elsewhere import Elsewhere

DAMAGED: Final = Warned(
    code="damaged_answer",
    message="the provider's answer is not strict JSON: its picture was kept, words beside it were repaired or lost",
)


class Place(Struct, frozen=True, kw_only=True):
    """Where a picture of an answer is to be: as base64, or at an address. `index` counts them, from 0."""

    index: int
    text: Any = None
    address: Any = None
    revised_prompt: str | None = None

    async def look(self, elsewhere: Elsewhere) -> list[Step]:
        """The picture, or what there is instead and a warning that says why it is none."""
        data, why = picture_bytes(self.text) or picture_bytes(_data_url(self.address)), "it is not base64"
        if data is None and isinstance(self.address, str) and self.address and not _data_url(self.address):
            try:
                data = await elsewhere.fetch(self.address)
            except OutsideError as error:
                return [self._lost(f"it is at {self.address}, from where it could not be fetched ({error.rule})")]
            why = f"it is at {self.address}, and no picture"
        kind = None if data is None else kind_of(data[:1024])
        if data is None or kind is None:
            return [*_kept(data, self.text), self._lost(why if data is None or self.address else "it is no picture")]
        return [Picture(data=data, media_type=kind, revised_prompt=self.revised_prompt, index=self.index)]

    def _lost(self, why: str) -> Warned:
        return Warned(code="partial", message=f"picture {self.index + 1} of the provider cannot be used: {why}")


def dug_out(raws: Iterable[bytes]) -> list[Picture]:
    """The pictures of an answer whose JSON hides them."""
    found = dict.fromkeys(data for raw in raws for data in hidden(raw) if kind_of(data[:1024]))
    return [Picture(data=data, media_type=kind_of(data[:1024]) or "", index=i) for i, data in enumerate(found)]


def instead(documents: Sequence[Document]) -> list[Picture]:
    """The pictures of an answer that has none in its places: those that it is itself, or that its JSON hides."""
    itself = [Picture(data=d.raw, media_type=d.media_type) for d in documents if d.media_type is not None]
    return itself or dug_out(d.raw for d in documents)


def unread(documents: Sequence[Document]) -> list[Unusable]:
    """What came and cannot be read."""
    return [Unusable(d.raw) for d in documents if d.value is None and d.raw.strip()]


def told(steps: Iterable[Step]) -> str:
    """Why what was found is of no use, as the end of a sentence."""
    return "".join(f"; {step.message}" for step in steps if isinstance(step, Warned) and step.code == "partial")


def _data_url(address: Any) -> str | None:
    return address if isinstance(address, str) and address.lstrip()[:5].lower() == "data:" else None


def _kept(data: bytes | None, text: Any) -> list[Unusable]:
    """What came for the picture, decoded or as it stands."""
    came = data or (text.encode("utf-8", "replace") if isinstance(text, str) else b"")
    return [Unusable(came)] if came else []
