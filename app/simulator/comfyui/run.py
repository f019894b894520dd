"""One run: its nodes in ComfyUI's order, each told of as it begins, goes on and ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from app.simulator.comfyui.cache import Kept, signature
from app.simulator.comfyui.classes import CLASSES
from app.simulator.comfyui.graphs import is_link, needed, sources
from app.simulator.comfyui.nodes import Workshop, made, shown
from app.simulator.comfyui.queue import Ended, Entry, milliseconds
from app.simulator.draw import blurred, draw

if TYPE_CHECKING:
    from app.simulator.comfyui.server import Server

_STEPPING: Final = frozenset({"DrSleep", "KSampler"})
_CACHED = 1


class Interrupted(Exception):
    """Somebody ended the run."""


class Run:
    """An entry's. `begun` is a moment of the bench's clock, by which its slow nodes take their time."""

    def __init__(self, entry: Entry, begun: float, server: Server) -> None:
        self._entry = entry
        self._graph = entry.graph
        self._server = server
        self._moment = begun
        self._messages: list[list[Any]] = []
        self._signatures = {node: signature(entry.graph, node, server.disk) for node in entry.graph}
        self._made: dict[str, Kept] = {}
        self._progress: dict[str, dict[str, Any]] = {}
        self._executed: list[str] = []

    async def run(self) -> Ended:
        """All of it; what is remembered of it then."""
        self._record("execution_start", {})
        found = ((node, self._server.cache.get(each)) for node, each in self._signatures.items())
        known = {node: kept for node, kept in found if kept is not None}
        self._record("execution_cached", {"nodes": list(known)})
        node = ""
        try:
            for node in self._in_order(known):
                await self._take(node, known.get(node))
        except Interrupted:
            self._record("execution_interrupted", self._where(node))
        except Exception as error:  # noqa: BLE001  # a node may raise anything
            self._record("execution_error", self._failed(node, error))
        else:
            self._record("execution_success", {})
        self._server.bench.clock.idle()
        outputs = {node: kept.shown for node, kept in self._made.items() if kept.shown is not None}
        meta = {
            node: {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node} for node in outputs
        }
        return Ended(entry=self._entry, outputs=outputs, meta=meta, messages=self._messages)

    def _in_order(self, known: dict[str, Kept]) -> Iterator[str]:
        """Outputs as soon as they can be, and before others those nodes that one waits for."""
        outputs = self._entry.outputs
        waiting = needed({node: {} if node in known else each for node, each in self._graph.items()}, outputs)
        while waiting:
            ready = [node for node in waiting if node in known or not set(sources(self._graph, node)) & set(waiting)]
            direct = [node for node in ready if any(node in sources(self._graph, each) for each in outputs)]
            picked = next(iter([*(node for node in ready if node in outputs), *direct, *ready]))
            waiting.remove(picked)
            yield picked

    async def _take(self, node: str, known: Kept | None) -> None:
        if known is not None:
            self._made[node] = known
            if known.shown is not None:
                self._tell("executed", {"node": node, "display_node": node, "output": known.shown})
                self._progressed(node, _CACHED, _CACHED, "finished")
            return
        self._progressed(node, 0.0, 1.0, "running")
        self._server.last_node = node
        self._tell("executing", {"node": node, "display_node": node})
        self._look()
        inputs = self._inputs(node)
        kind = self._graph[node]["class_type"]
        if kind in _STEPPING:
            await self._step(node, inputs)
        elif kind == "DrDeaf":
            await self._wait(float(inputs["seconds"]))
        self._made[node] = kept = await asyncio.to_thread(self._make, kind, inputs)
        used = set(self._signatures.values())
        self._server.cache.keep(self._signatures[node], kept, used)
        if kept.shown is not None:
            self._tell("executed", {"node": node, "display_node": node, "output": kept.shown})
        done = self._progress[node]["max"]
        self._progressed(node, done, done, "finished")
        self._executed.append(node)

    def _make(self, kind: str, inputs: dict[str, Any]) -> Kept:
        workshop = Workshop(self._server.disk, self._graph, self._entry.call)
        if CLASSES[kind]["output_node"]:
            return Kept((inputs.get("images"),), shown(kind, inputs, workshop))
        return Kept(made(kind, inputs, workshop), None)

    def _inputs(self, node: str) -> dict[str, Any]:
        values = self._graph[node]["inputs"]
        return {
            name: self._made[value[0]].outputs[value[1]] if is_link(value) else value for name, value in values.items()
        }

    async def _step(self, node: str, inputs: dict[str, Any]) -> None:
        """Step by step; each is told, with a look at it, and after each somebody may end the run."""
        sampling = self._graph[node]["class_type"] == "KSampler"
        seconds = self._server.bench.seconds(self._entry.call.prompt) if sampling else float(inputs["seconds"])
        form = "jpeg" if sampling else inputs.get("preview", "none")
        every = 1 if sampling else int(inputs.get("preview_every", 2))
        steps = int(inputs["steps"])
        for step in range(1, steps + 1):
            await self._wait(seconds / steps)
            self._look()
            self._progressed(node, step, steps, "running")
            seen = self._seen(step / steps, form) if form != "none" and step % every == 0 else None
            self._show(node, seen, form, metadata=True)
            told = {"value": step, "max": steps, "prompt_id": self._entry.prompt_id, "node": node}
            self._server.listeners.tell(self._entry.client_id, "progress", told)
            self._show(node, seen, form, metadata=False)

    def _seen(self, share: float, form: str) -> bytes:
        call = self._entry.call
        return blurred(draw(call.prompt, call.nonce, 64, 64), int(31 * share), form)

    def _show(self, node: str, seen: bytes | None, form: str, *, metadata: bool) -> None:
        """A look is sent before the progress to whoever understands whose it is, and after it to others."""
        listeners, client_id = self._server.listeners, self._entry.client_id
        if seen is not None and listeners.understands_metadata(client_id) == metadata:
            listeners.preview(client_id, seen, form, self._whose(node))

    async def _wait(self, seconds: float) -> None:
        self._moment += seconds
        await self._server.bench.clock.until(self._moment)

    def _look(self) -> None:
        if self._server.queue.interrupted:
            self._server.queue.interrupted = False
            raise Interrupted

    def _progressed(self, node: str, value: float, most: float, state: str) -> None:
        self._progress[node] = {"value": value, "max": most, "state": state, **self._whose(node)}
        told = {"prompt_id": self._entry.prompt_id, "nodes": self._progress}
        self._server.listeners.tell(self._entry.client_id, "progress_state", told)

    def _whose(self, node: str) -> dict[str, Any]:
        where = {"node_id": node, "prompt_id": self._entry.prompt_id, "display_node_id": node}
        return {**where, "parent_node_id": None, "real_node_id": node}

    def _record(self, kind: str, data: dict[str, Any]) -> None:
        told = {**data, "prompt_id": self._entry.prompt_id, "timestamp": milliseconds()}
        self._messages.append([kind, told])
        if self._entry.client_id is not None:
            self._server.listeners.tell(self._entry.client_id, kind, told)

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        if self._entry.client_id is not None:
            self._server.listeners.tell(self._entry.client_id, kind, {**data, "prompt_id": self._entry.prompt_id})

    def _where(self, node: str) -> dict[str, Any]:
        return {"node_id": node, "node_type": self._graph[node]["class_type"], "executed": self._executed}

    def _failed(self, node: str, error: Exception) -> dict[str, Any]:
        kind, values = type(error), self._graph[node]["inputs"]
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        hidden = CLASSES[self._graph[node]["class_type"]]["input"].get("hidden", {})
        told = {name: [str(value)] if is_link(value) else [value] for name, value in values.items()}
        told |= {name: [json.dumps(self._graph)] if name == "prompt" else [None] for name in hidden}
        return {
            **self._where(node),
            "exception_message": f"{error}\n",
            "exception_type": f"{module}{kind.__name__}",
            "traceback": ['  File "/srv/comfy/execution.py", line 1, in execute\n'],
            "current_inputs": told,
            "current_outputs": list(self._graph),
        }
