"""The node classes that the server has, and what each takes, as `/object_info` tells of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

import msgspec

from app.simulator.comfyui.graphs import Graph

CHECKPOINTS: Final = ("stable-diffusion-xl.safetensors", "stable-diffusion-v1-5.safetensors")
CLASSES: Final[dict[str, dict[str, Any]]] = msgspec.json.decode(
    (files("app.simulator.comfyui") / "classes.json").read_bytes()
)
"""By name. Those that begin with `Dr` were made for the recordings: they sleep, sleep deaf, fail and tell."""


def told(name: str, checkpoints: Sequence[str], pictures: Sequence[str]) -> dict[str, Any]:
    """What the class takes, with the files that are there just now."""
    found = copy.deepcopy(CLASSES[name])
    if name == "CheckpointLoaderSimple":
        found["input"]["required"]["ckpt_name"][0] = list(checkpoints)
    if name == "LoadImage":
        found["input"]["required"]["image"][0] = sorted(pictures)
    return found


def inputs(told: dict[str, Any]) -> dict[str, tuple[list[Any], bool]]:
    """Each input's `[type, limits]`, and whether it has to be there."""
    required, optional = told["input"].get("required", {}), told["input"].get("optional", {})
    return {**{name: (form, True) for name, form in required.items()}, **{n: (f, False) for n, f in optional.items()}}


def outputs(graph: Graph) -> list[str]:
    """The nodes that save, show or tell; in an order that the graph does not decide, as with a set."""
    return [node for node in reversed(graph) if CLASSES[graph[node]["class_type"]]["output_node"]]
