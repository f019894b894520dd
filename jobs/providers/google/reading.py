"""What is read from an answer of Gemini's: a picture and the words beside it, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from jobs.errors import ProviderError
from jobs.model.picture import Picture, Usage
from jobs.providers.base import Step, Text, Warned
from jobs.providers.errors import MAX_WORDS, facts_within, judged_within
from jobs.providers.found import DAMAGED, Place, instead, told, unread
from jobs.providers.outcomes import bad_response, refused_policy, unreadable
from jobs.providers.replies import count, each, member, usage, words

if TYPE_CHECKING:
    from jobs.providers.answers import Document
    from jobs.providers.elsewhere import Elsewhere

_REFUSALS: Final = frozenset(
    {
        "SAFETY",
        "IMAGE_SAFETY",
        "PROHIBITED_CONTENT",
        "IMAGE_PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "RECITATION",
        "IMAGE_RECITATION",
        "NO_IMAGE",
        "LANGUAGE",
        "ESCALATION",
    }
)
"""Finish reasons that are a refusal of what was asked; any other without a picture is a bad answer."""


class Answer(Struct, frozen=True):
    """All of one answer, in one piece or in several."""

    documents: Sequence[Document]
    status: int

    @property
    def request_id(self) -> str | None:
        """Gemini's own."""
        return next((said for d in self.documents if (said := words(member(d.value, "responseId")))), None)

    async def read(self, elsewhere: Elsewhere) -> list[Step]:
        """The picture and what is said beside it, or what came instead of one: see `without_picture` then."""
        lost: list[Step] = []
        for place in self._places():
            steps = await place.look(elsewhere)
            pictures = [step for step in steps if isinstance(step, Picture)]
            if pictures:
                return self._with(pictures[0], lost)
            lost += steps
        if found := instead(self.documents):
            return self._with(found[0], lost)
        said = self._said()
        return [*([Text(said)] if said else []), *lost, *unread(self.documents)]

    def without_picture(self, steps: Sequence[Step]) -> ProviderError:
        """Why there is no picture among the steps."""
        facts = next((f for d in self.documents if (f := facts_within(d.value, named=d.name))), None)
        if facts is not None:
            return judged_within(facts, self.status, self.request_id)
        if all(d.value is None for d in self.documents):
            return unreadable(self.status)
        blocked = any(member(member(d.value, "promptFeedback"), "blockReason") for d in self.documents)
        reasons = [str(member(c, "finishReason", "finish_reason") or "")[:100] for c in self._candidates()]
        said = self._said()
        if blocked or _REFUSALS & set(reasons):
            return refused_policy(self.status, self.request_id, said)
        why = ", ".join(filter(None, reasons)) or "no reason given"
        message = f"the provider answered without a picture ({why}){said and ': '}{said}{told(steps)}"
        return bad_response(message, status=self.status)

    def _with(self, made: Picture, lost: list[Step]) -> list[Step]:
        text = self._text()
        damaged = [DAMAGED] if any(d.damaged for d in self.documents) or made.index else []
        empty = (
            [_EMPTY] if not lost and any(None in each(member(d.value, "candidates")) for d in self.documents) else []
        )
        picture = Picture(data=made.data, media_type=made.media_type)
        return [*([Text(text)] if text else []), picture, *lost, *empty, *damaged, *self._counted()]

    def _candidates(self) -> list[Any]:
        return [c for d in self.documents for c in each(member(d.value, "candidates"))]

    def _parts(self) -> list[Any]:
        contents = (member(c, "content") for c in self._candidates())
        return [part for content in contents for part in each(member(content, "parts"))]

    def _places(self) -> list[Place]:
        """Where a picture may be: the thoughts come last, and the last of them first."""
        found = [part for part in self._parts() if _inline(part) is not None or _file(part) is not None]
        thoughts = [part for part in found if member(part, "thought") is True]
        ordered = [*(part for part in found if member(part, "thought") is not True), *reversed(thoughts)]
        return [
            Place(index=i, text=member(_inline(part), "data"), address=member(_file(part), "fileUri", "file_uri"))
            for i, part in enumerate(ordered)
        ]

    def _text(self) -> str:
        told = (words(member(part, "text")) for part in self._parts() if member(part, "thought") is not True)
        return "".join(filter(None, told))

    def _said(self) -> str:
        """Gemini's own words beside no picture."""
        finished = (words(member(c, "finishMessage", "finish_message")) for c in self._candidates())
        blocked = (words(member(member(d.value, "promptFeedback"), "blockReasonMessage")) for d in self.documents)
        return " ".join(filter(None, (*finished, *blocked, self._text())))[:MAX_WORDS]

    def _counted(self) -> list[Usage]:
        said = next((u for d in reversed(self.documents) if (u := member(d.value, "usageMetadata"))), None)
        if not isinstance(said, dict):
            return []
        put_out = [count(member(said, name)) for name in ("candidatesTokenCount", "thoughtsTokenCount")]
        total = sum(n for n in put_out if n is not None) if put_out[0] is not None else None
        return [usage(count(member(said, "promptTokenCount")), total, count(member(said, "totalTokenCount")))]


_EMPTY: Final = Warned(code="partial", message="a candidate of the provider is empty")


def _inline(part: Any) -> Any:
    return member(part, "inlineData", "inline_data")


def _file(part: Any) -> Any:
    return member(part, "fileData", "file_data")
