"""One run as its socket tells of it: how far it is, what it looks like on the way, and that it is over."""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec

from jobs.model.picture import Picture
from jobs.pictures.sniff import sniff
from jobs.providers.base import PartialImage, Progressed, Step

_PREVIEW: Final = 4
"""The type of a binary frame that says whose preview it is; those of type 1 may be anybody's."""
_HEAD: Final = struct.Struct(">II")
_ENDS: Final = frozenset({"execution_success", "execution_error", "execution_interrupted"})


class Run:
    """What is heard of the run `prompt_id`. Frames of others, which a server sends as well, are not heard.

    The share that is done: nodes and parts of nodes, of those that were not cached; it never goes down. Of previews at
    most `previews` are taken, spread over the steps of the node that shows itself.
    """

    def __init__(self, prompt_id: str, nodes: int, previews: int) -> None:
        self.over = False
        """It has ended, in whatever way: the history knows in which."""
        self._prompt_id = prompt_id
        self._nodes = nodes
        self._previews = previews
        self._cached: set[str] = set()
        self._done: dict[str, float] = {}
        self._told = 0.0
        self._shown = 0

    def begin_again(self) -> None:
        """The server has forgotten it, and was asked anew."""
        self.over = False
        self._cached.clear()
        self._done.clear()

    def hear(self, frame: str | bytes) -> Step | None:
        """Take a frame; answers what is worth telling."""
        return self._see(frame) if isinstance(frame, bytes) else self._read(frame)

    def _read(self, frame: str) -> Step | None:
        try:
            message = msgspec.json.decode(frame)
            kind, data = message["type"], message["data"]
            if data.get("prompt_id") != self._prompt_id:
                return None
            return self._take(kind, data)
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError, ValueError):
            return None  # a frame that we do not know says nothing

    def _take(self, kind: str, data: dict[str, Any]) -> Step | None:
        match kind:
            case "execution_cached":
                self._cached = set(data["nodes"])
            case "executing" if data["node"] is not None:
                for node in self._done:  # one runs at a time: those before it are done
                    self._done[node] = 1.0
                self._done.setdefault(data["node"], 0.0)
            case "progress":
                return self._progressed(data["node"], data["value"], data["max"])
            case "progress_state":
                for node, state in data["nodes"].items():
                    self._done[node] = 1.0 if state["state"] == "finished" else state["value"] / (state["max"] or 1)
            case _ if kind in _ENDS or kind == "executing":
                self.over = True
        return None

    def _progressed(self, node: str, value: float, most: float) -> Progressed | None:
        self._done[node] = value / (most or 1)
        parts = sum(min(1.0, share) for node, share in self._done.items() if node not in self._cached)
        share = min(1.0, parts / max(1, self._nodes - len(self._cached)))
        if share <= self._told:
            return None
        self._told = share
        return Progressed(value=share, step=int(value), steps=int(most))

    def _see(self, frame: bytes) -> PartialImage | None:
        if len(frame) < _HEAD.size:
            return None
        kind, length = _HEAD.unpack_from(frame)
        if kind != _PREVIEW or self._shown >= self._previews:
            return None
        try:
            told = msgspec.json.decode(frame[_HEAD.size : _HEAD.size + length])
            whose, done = told["prompt_id"], self._done.get(told["node_id"], 0.0)
        except (msgspec.DecodeError, LookupError, TypeError):
            return None
        data = frame[_HEAD.size + length :]
        media_type = sniff(data[:16])
        if whose != self._prompt_id or media_type is None or done < (self._shown + 1) / (self._previews + 1):
            return None
        self._shown += 1
        return PartialImage(Picture(data=data, media_type=media_type), self._shown - 1)
