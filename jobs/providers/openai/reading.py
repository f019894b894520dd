"""What is read from an answer of OpenAI's image wire, whole or in events: previews, pictures, or what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import structlog
from msgspec.structs import replace

from jobs.errors import Outcome, ProviderError, ServiceUnavailable
from jobs.model.picture import Picture, Usage
from jobs.pictures.heads import kind_of
from jobs.providers.base import PartialImage, Step, Unusable
from jobs.providers.errors import Kind, facts_within, judged_within, kind_within
from jobs.providers.found import DAMAGED, Place, dug_out, told
from jobs.providers.outcomes import bad_response, cut, unreadable
from jobs.providers.replies import count, each, member, picture_bytes, usage, words

if TYPE_CHECKING:
    from jobs.providers.answers import Document
    from jobs.providers.elsewhere import Elsewhere

_log = structlog.get_logger()


class Reader:
    """Reads one answer. `n` pictures and at most `previews` of each are asked for."""

    def __init__(self, elsewhere: Elsewhere, *, n: int, previews: int, status: int, request_id: str | None) -> None:
        self._elsewhere = elsewhere
        self._n = n
        self._previews = previews
        self._status = status
        self._request_id = request_id
        self._pictures = 0
        self._places = 0
        self._drawn = 0
        self._lost: list[Step] = []
        self._cut: ProviderError | None = None
        self._documents: list[Document] = []
        """Those that are no previews."""

    async def read(self, documents: AsyncIterator[Document]) -> AsyncIterator[Step]:
        """The steps of an answer, as it comes. Raises `ProviderError`.

        A preview that cannot be read, or is more than was asked for, is left out. Events that end without a picture
        are cut, however they end.
        """
        async for document in documents:
            self._cut = self._cut or document.cut
            if "partial_image" in _kind(document):
                for step in self._preview(document.value):
                    yield step
                continue
            self._documents.append(replace(document, value=None) if self._pictures else document)
            for step in await self._look(document):
                yield step
            if self._pictures >= self._n and document.streamed:
                return
            if not self._pictures:
                self._raise_error(document)
        for step in self._conclude():
            yield step
        if not self._pictures:
            raise self._without_picture()

    async def _look(self, document: Document) -> list[Step]:
        """The pictures of a document, and what else it says."""
        places = [] if _on_the_way(document) else _places(document.value, self._places)
        steps: list[Step] = []
        if document.media_type is not None:
            steps.append(Picture(data=document.raw, media_type=document.media_type, index=self._places))
        for place in places:
            steps += await place.look(self._elsewhere)
        self._places += len(places)
        pictures = [step for step in steps if isinstance(step, Picture)]
        lost = [step for step in steps if not isinstance(step, Picture)]
        if not pictures:
            self._lost += lost
            return []
        self._pictures += len(pictures)
        damaged = [DAMAGED] if document.damaged else []
        return [*_within(pictures, self._n), *lost, *damaged, *_counted(member(document.value, "usage"))]

    def _preview(self, event: Any) -> list[Step]:
        drawn, self._drawn = self._drawn, self._drawn + 1
        if drawn >= self._previews:
            return []
        said = member(event, "partial_image_index")
        place = said if type(said) is int and said in range(self._previews) else drawn
        data = picture_bytes(member(event, "b64_json")) or b""
        kind = kind_of(data[:1024])
        if kind is None:
            _log.warning("preview cannot be used", bytes=len(data))
            return []
        return [PartialImage(Picture(data=data, media_type=kind), place)]

    def _raise_error(self, document: Document) -> None:
        """An error within a success, unless a preview came before it: who charges for that is not known."""
        facts = facts_within(document.value, named=document.name)
        if facts is None:
            return
        if self._drawn and kind_within(facts) not in {Kind.POLICY, Kind.REQUEST, Kind.MODEL}:
            message = "the provider gave up after it had begun to draw: it may have billed what it drew"
            error = ServiceUnavailable(message, reason="outcome_unknown")
            raise ProviderError(
                Outcome.UNKNOWN, error, provider_status=self._status, provider_request_id=self._request_id
            )
        raise judged_within(facts, self._status, self._request_id)

    def _conclude(self) -> list[Step]:
        """What there is to say when nothing more comes."""
        if self._pictures:
            return self._lost
        pictures = dug_out(d.raw for d in self._documents if not (d.streamed and b"partial_image" in d.raw))
        self._pictures = len(pictures)
        if pictures:
            return [*_within(pictures, self._n), DAMAGED]
        kept = [Unusable(d.raw) for d in self._documents if d.value is None and d.raw.strip() and not d.streamed]
        return [*(step for step in self._lost if isinstance(step, Unusable)), *kept]

    def _without_picture(self) -> ProviderError:
        if self._cut is not None:
            return self._cut
        ended = [
            d for d in self._documents if _kind(d).endswith("completed") or (d.value is not None and not d.streamed)
        ]
        if ended or self._lost:
            message = f"the provider answered without a picture that can be used{told(self._lost)}"
            return bad_response(message, status=self._status)
        if any(d.streamed for d in self._documents) or self._drawn:
            return cut(EOFError("the stream ended before its picture"), answered=True)
        return unreadable(self._status)


def _kind(document: Document) -> str:
    """An event's type, by its data or else by its `event:` line."""
    return words(member(document.value, "type")) or document.name


def _on_the_way(document: Document) -> bool:
    """Whether an event of a kind that nobody knows brings a picture: it counts where no other comes."""
    kind = _kind(document)
    told = bool(kind) and document.streamed and member(document.value, "data") is None
    return told and not kind.endswith("completed")


def _places(value: Any, first: int) -> list[Place]:
    """Where the pictures are to be: a place for each entry of the list, or one for what is an entry itself."""
    entries = each(member(value, "data"))
    if not entries and member(value, "b64_json", "url") is not None:
        entries = [value]
    return [
        Place(
            index=first + i,
            text=member(entry, "b64_json"),
            address=member(entry, "url"),
            revised_prompt=words(member(entry, "revised_prompt")),
        )
        for i, entry in enumerate(entries)
    ]


def _within(pictures: list[Picture], n: int) -> list[Picture]:
    """One more than was asked for stands in for one that cannot be used: it is paid for just as well."""
    free = [index for index in range(n) if all(p.index != index for p in pictures)]
    return [replace(p, index=free.pop(0)) if p.index >= n and free else p for p in pictures]


def _counted(said: Any) -> list[Usage]:
    """The usage of an answer: of its counts those that are counts."""
    if not isinstance(said, Mapping):
        return []
    details = member(said, "input_tokens_details", "prompt_tokens_details")
    return [
        usage(
            count(member(said, "input_tokens", "prompt_tokens")),
            count(member(said, "output_tokens", "completion_tokens")),
            count(member(said, "total_tokens")),
            input_text_tokens=count(member(details, "text_tokens")),
            input_image_tokens=count(member(details, "image_tokens")),
        )
    ]
