"""What nodes made, which they are not asked for again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from msgspec import Struct

from app.simulator.comfyui.disk import Disk
from app.simulator.comfyui.graphs import Graph, is_link


class Kept(Struct, frozen=True):
    """What a node made, by which it is not run again for the same inputs."""

    outputs: tuple[Any, ...]
    shown: dict[str, Any] | None


class Cache:
    """What nodes made, by all on which it depends. What a run makes drives out what it did not use."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def clear(self) -> None:
        """As a server that starts."""
        self._kept.clear()

    def get(self, signature: str) -> Kept | None:
        """What is known, if it is."""
        return self._kept.get(signature)

    def keep(self, signature: str, made: Kept, used: set[str]) -> None:
        """Remember it, and of the rest only what is used."""
        self._kept = {each: kept for each, kept in self._kept.items() if each in used}
        self._kept[signature] = made


def signature(graph: Graph, node: str, disk: Disk) -> str:
    """All on which a node's outputs depend."""
    told = graph[node]
    inputs = {
        name: [signature(graph, value[0], disk), value[1]] if is_link(value) else value
        for name, value in told.get("inputs", {}).items()
        if not is_link(value) or value[0] in graph
    }
    kind = told["class_type"]
    seen = hashlib.sha256(disk.uploaded(str(inputs["image"]))).hexdigest() if kind == "LoadImage" else ""
    return hashlib.sha256(json.dumps([kind, inputs, seen], sort_keys=True).encode()).hexdigest()
