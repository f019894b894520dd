"""Workflows in ComfyUI's API format, and where a request's fields go in them (Open WebUI's node mappings)."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from jobs.catalog.families import MODEL_NAME
from jobs.errors import ConfigurationError
from jobs.providers.base import Order

MAX_SEED: Final = 1_125_899_906_842_624
"""As Open WebUI draws them: every node takes an integer of 50 bits."""
_KEYS: Final = {"prompt": "text", "negative_prompt": "text", "n": "batch_size", "model": "ckpt_name"}
"""A node's input where a mapping names none; for all others it is called as the field is."""

_NODES: Final = ".nodes.json"

Graph = dict[str, dict[str, Any]]


class NodeMapping(Struct, frozen=True):
    """Where a field goes: to the input `key` of each node; without a `type`, `value` goes there as it is.

    `image` and `mask` put the first upload into the first node, the second one into the second.
    """

    node_ids: list[str] = []
    type: str | None = None
    key: str | None = None
    value: Any = None


class Workflow(Struct, frozen=True):
    """A graph, and the mappings by which it becomes one's own."""

    graph: Graph
    nodes: tuple[NodeMapping, ...]

    def takes(self, field: str) -> int:
        """How many nodes have a place for the field."""
        return sum(len(mapping.node_ids) for mapping in self.nodes if mapping.type == field)

    def filled(self, order: Order, uploads: Mapping[str, Sequence[str]], model: str | None) -> Graph:
        """The graph of an order; `uploads` names the server's files by `image` and `mask`, `model` its checkpoint.

        What the request leaves open stays as the graph has it; a seed is drawn where it names none.
        """
        graph = copy.deepcopy(self.graph)
        told = {**_fields(order), "model": model}
        for mapping in self.nodes:
            if mapping.type in {"image", "mask"}:
                for node_id, name in zip(mapping.node_ids, uploads.get(mapping.type, ()), strict=False):
                    _put(graph, node_id, mapping.key or "image", name)
                continue
            value = told.get(mapping.type) if mapping.type else mapping.value
            if value is not None:
                key = mapping.key or _KEYS.get(mapping.type or "", mapping.type) or "text"
                for node_id in mapping.node_ids:
                    _put(graph, node_id, key, value)
        return graph


def built_in(name: str) -> Workflow:
    """One of our own: `text`, `edit` or `inpaint`, for checkpoints of Stable Diffusion's kind."""
    text = (files("jobs.providers.comfyui") / "graphs" / f"{name}.json").read_bytes()
    return msgspec.json.decode(text, type=Workflow)


def loaded(workflow: str, nodes: str) -> Workflow:
    """The operator's: JSON, or a file's path, each. Raises `ConfigurationError` with the variable's name."""
    return _joined(workflow, nodes or "[]", ("COMFYUI_WORKFLOW", "COMFYUI_WORKFLOW_NODES"))


def named(folder: Path | None) -> dict[str, Workflow]:
    """Those of a folder: of `NAME.json`, and of the mappings in `NAME.nodes.json`. Raises `ConfigurationError`."""
    if folder is None:
        return {}
    if not folder.is_dir():
        raise ConfigurationError(f"COMFYUI_WORKFLOWS: {folder} is no folder")
    return {file.stem: _of_model(file) for file in sorted(folder.glob("*.json")) if not file.name.endswith(_NODES)}


def _of_model(file: Path) -> Workflow:
    if not MODEL_NAME.fullmatch(file.stem):
        raise ConfigurationError(f"COMFYUI_WORKFLOWS: {file.name}: {file.stem!r} is no name for a model")
    nodes = file.with_name(file.stem + _NODES)
    return _joined(str(file), str(nodes), (f"COMFYUI_WORKFLOWS: {file.name}", f"COMFYUI_WORKFLOWS: {nodes.name}"))


def _joined(workflow: str, nodes: str, names: tuple[str, str]) -> Workflow:
    graph = _read(names[0], workflow, Graph)
    mappings = _read(names[1], nodes, tuple[NodeMapping, ...])
    if any("class_type" not in node for node in graph.values()):
        raise ConfigurationError(f"{names[0]}: not in the API format; export it by «Save (API Format)»")
    for node_id in (node_id for mapping in mappings for node_id in mapping.node_ids):
        if node_id not in graph:
            raise ConfigurationError(f"{names[1]}: the workflow has no node {node_id}")
    return Workflow(graph, mappings)


def _read(variable: str, text: str, shape: Any) -> Any:
    try:
        content = text if text.lstrip().startswith(("{", "[")) else Path(text).read_text()
        return msgspec.json.decode(content, type=shape)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{variable}: {error}") from None


def _fields(order: Order) -> dict[str, Any]:
    request = order.request
    width, _, height = (request.size or "").partition("x")
    return {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "n": order.n,
        "steps": request.steps,
        "seed": secrets.randbelow(MAX_SEED) if request.seed is None else request.seed,
        "width": int(width) if height else None,
        "height": int(height) if height else None,
    }


def _put(graph: Graph, node_id: str, key: str, value: Any) -> None:
    graph[node_id].setdefault("inputs", {})[key] = value
