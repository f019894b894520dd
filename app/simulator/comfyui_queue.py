"""ComfyUI's queue: one run at a time, told step by step to the socket of whoever asked for it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct
from PIL import Image, PngImagePlugin

from app.simulator.draw import blurred, draw, edit
from app.simulator.faults import Bench, Call

Graph = dict[str, dict[str, Any]]
Send = Callable[[str | bytes], None]

OUTPUTS: Final = {"SaveImage": "output", "PreviewImage": "temp"}
NODES: Final = frozenset(
    {
        *OUTPUTS,
        "CheckpointLoaderSimple",
        "CLIPTextEncode",
        "EmptyLatentImage",
        "KSampler",
        "LoadImage",
        "RepeatLatentBatch",
        "VAEDecode",
        "VAEEncode",
        "VAEEncodeForInpaint",
        "DrFail",
    }
)
"""The classes that this server has; `DrFail` raises."""
CHECKPOINTS: Final = ("stable-diffusion-xl.safetensors", "stable-diffusion-v1-5.safetensors")


class Entry(Struct, kw_only=True):
    """A prompt in the queue. `outputs` are the nodes that save."""

    number: int
    prompt_id: str
    graph: Graph
    client_id: str | None
    outputs: list[str]
    call: Call

    def listed(self) -> list[Any]:
        """As `/queue` and `/history` have it."""
        data = {} if self.client_id is None else {"client_id": self.client_id}
        return [self.number, self.prompt_id, self.graph, data, self.outputs]


class ComfyQueue:
    """The server's memory, and the task that runs what is in it."""

    def __init__(self, desk: Bench) -> None:
        self.pending: deque[Entry] = deque()
        self.running: Entry | None = None
        self.history: dict[str, Any] = {}
        self.files: dict[tuple[str, str, str], bytes] = {}
        """By type, subfolder and name."""
        self.sockets: dict[str, Send] = {}
        self._desk = desk
        self._numbers = 0
        self._task: asyncio.Task[None] | None = None
        self._interrupted = False
        self._messages: list[list[Any]] = []

    def forget(self) -> None:
        """Begin anew, as a server that was killed: files stay."""
        if self._task is not None:
            self._task.cancel()
        self.pending.clear()
        self.running, self._task, self._numbers = None, None, 0
        self.history.clear()

    def add(self, prompt_id: str, graph: Graph, client_id: str | None, outputs: list[str], call: Call) -> int:
        """Queue a run; an id that is known already runs again."""
        self._numbers += 1
        entry = Entry(
            number=self._numbers, prompt_id=prompt_id, graph=graph, client_id=client_id, outputs=outputs, call=call
        )
        self.pending.append(entry)
        self._tell_status()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return entry.number

    def delete(self, prompt_id: str) -> bool:
        """Take a pending run out: nothing is left of it."""
        found = next((each for each in self.pending if each.prompt_id == prompt_id), None)
        if found is not None:
            self.pending.remove(found)
        return found is not None

    def interrupt(self, prompt_id: str | None) -> bool:
        """End the running one: that of the id, or, without one, whichever it is."""
        if self.running is None or (prompt_id and self.running.prompt_id != prompt_id):
            return False
        self._interrupted = True
        return True

    @property
    def remaining(self) -> int:
        """How many wait, with the running one."""
        return len(self.pending) + (self.running is not None)

    async def _work(self) -> None:
        while self.pending:
            entry = self.running = self.pending.popleft()
            self._interrupted, self._messages = False, []
            outputs: dict[str, Any] = {}
            end, told = await self._run(entry, outputs)
            self._say(entry, end, told)
            self.history[entry.prompt_id] = {
                "prompt": entry.listed(),
                "outputs": outputs,
                "status": {
                    "status_str": "success" if end == "execution_success" else "error",
                    "completed": end == "execution_success",
                    "messages": self._messages,
                },
                "meta": {},
            }
            self.running = None
            self._tell_status()
            self._say(entry, "executing", {"node": None})

    async def _run(self, entry: Entry, outputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self._say(entry, "execution_start", {})
        self._say(entry, "execution_cached", {"nodes": []})
        executed: list[str] = []
        for node in _in_order(entry.graph, entry.outputs):
            kind = entry.graph[node]["class_type"]
            at = {"node_id": node, "node_type": kind, "executed": executed}
            self._say(entry, "executing", {"node": node, "display_node": node})
            if kind == "DrFail":
                where = {"exception_message": "/srv/comfy/nodes.py: no", "traceback": ["File /srv/comfy/nodes.py"]}
                return "execution_error", {**at, **where, "exception_type": "builtins.RuntimeError"}
            if kind == "KSampler" and not await self._sample(entry, node):
                return "execution_interrupted", at
            if kind in OUTPUTS:
                outputs[node] = {"images": await asyncio.to_thread(self._save, entry, node, OUTPUTS[kind])}
                self._say(entry, "executed", {"node": node, "display_node": node, "output": outputs[node]})
            executed.append(node)
        return "execution_success", {}

    async def _sample(self, entry: Entry, node: str) -> bool:
        """Step by step, each with a look at it; whether nobody interrupted."""
        steps = int(entry.graph[node]["inputs"]["steps"])
        seconds = self._desk.seconds(entry.call.prompt)
        for step in range(1, steps + 1):
            await asyncio.sleep(seconds / steps)
            if self._interrupted:
                return False
            self._show(entry, node, step, steps)
            self._say(entry, "progress", {"value": step, "max": steps, "node": node})
        return True

    def _show(self, entry: Entry, node: str, step: int, steps: int) -> None:
        told = json.dumps({"node_id": node, "prompt_id": entry.prompt_id, "display_node_id": node}).encode()
        small = blurred(draw(entry.call.prompt, entry.call.nonce, 64, 64), 31 * step // steps, "jpeg")
        self._send(entry, struct.pack(">II", 4, len(told)) + told + small)

    def _save(self, entry: Entry, node: str, kind: str) -> list[dict[str, str]]:
        inputs = {each["class_type"]: each["inputs"] for each in entry.graph.values()}
        made = []
        for place in range(_batch(inputs)):
            nonce = hashlib.sha256(f"{entry.call.nonce}/{place}".encode()).hexdigest()[:16]
            name = f"{entry.graph[node]['inputs'].get('filename_prefix', 'temp')}_{entry.number:05}_{place}.png"
            self.files[kind, "", name] = _with_graph(self._drawn(entry, inputs, nonce), entry.graph)
            made.append({"filename": name, "subfolder": "", "type": kind})
        return made

    def _drawn(self, entry: Entry, inputs: dict[str, Any], nonce: str) -> bytes:
        sources = [each["inputs"]["image"] for each in entry.graph.values() if each["class_type"] == "LoadImage"]
        if sources:
            base = Image.open(io.BytesIO(self.files["input", "", sources[0]]))
            return edit(base, None, entry.call.prompt, nonce)
        size = inputs.get("EmptyLatentImage", {})
        return draw(entry.call.prompt, nonce, int(size.get("width", 512)), int(size.get("height", 512)))

    def _say(self, entry: Entry, kind: str, data: dict[str, Any]) -> None:
        told = {**data, "prompt_id": entry.prompt_id}
        if kind.startswith("execution_"):
            told["timestamp"] = int(time.time() * 1000)
            self._messages.append([kind, told])
        self._send(entry, json.dumps({"type": kind, "data": told}))

    def _send(self, entry: Entry, frame: str | bytes) -> None:
        if entry.client_id in self.sockets:
            self.sockets[entry.client_id](frame)

    def _tell_status(self) -> None:
        for send in self.sockets.values():
            send(status_frame(self.remaining))


def status_frame(remaining: int, sid: str | None = None) -> str:
    """What every client is told when the queue has changed, and first of all with its own id."""
    data: dict[str, Any] = {"status": {"exec_info": {"queue_remaining": remaining}}}
    return json.dumps({"type": "status", "data": data if sid is None else {**data, "sid": sid}})


def _in_order(graph: Graph, outputs: list[str]) -> list[str]:
    """The nodes on which the outputs depend, each after those that it needs."""
    order: list[str] = []

    def visit(node: str) -> None:
        for value in graph[node].get("inputs", {}).values():
            if isinstance(value, list) and value[0] in graph and value[0] not in order:
                visit(value[0])
        if node not in order:
            order.append(node)

    for node in outputs:
        visit(node)
    return order


def _batch(inputs: dict[str, Any]) -> int:
    latent = inputs.get("EmptyLatentImage", {}).get("batch_size", 1)
    return int(inputs.get("RepeatLatentBatch", {}).get("amount", latent))


def _with_graph(picture: bytes, graph: Graph) -> bytes:
    """As ComfyUI saves it: the whole graph, prompt and all, is in the file."""
    told, out = PngImagePlugin.PngInfo(), io.BytesIO()
    told.add_text("prompt", json.dumps(graph))
    Image.open(io.BytesIO(picture)).save(out, "png", pnginfo=told)
    return out.getvalue()
