"""The server's queue and history: one run at a time."""

from __future__ import annotations

import asyncio
import bisect
import time
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from app.simulator.comfyui.graphs import Graph
from app.simulator.comfyui.listeners import Listeners
from app.simulator.faults import Call


class Entry(Struct, kw_only=True):
    """A prompt. `outputs` are the nodes for whose sake it runs."""

    number: float
    prompt_id: str
    graph: Graph
    extra: dict[str, Any]
    outputs: list[str]
    call: Call

    @property
    def client_id(self) -> str | None:
        """Who is told of it; None: in part everybody."""
        return self.extra.get("client_id")

    def listed(self) -> list[Any]:
        """As `/queue` and `/history` have it."""
        return [self.number, self.prompt_id, self.graph, self.extra, self.outputs]


class Ended(Struct, kw_only=True):
    """What is remembered of a run."""

    entry: Entry
    outputs: dict[str, Any]
    meta: dict[str, Any]
    messages: list[list[Any]]

    @property
    def end(self) -> str:
        """The kind of its last message."""
        return str(self.messages[-1][0])

    def status(self) -> dict[str, Any]:
        """A canceled one reads as an error, too."""
        good = self.end == "execution_success"
        return {"status_str": "success" if good else "error", "completed": good, "messages": self.messages}

    def told(self) -> dict[str, Any]:
        """As `/history` has it."""
        return {
            "prompt": self.entry.listed(),
            "outputs": self.outputs,
            "status": self.status(),
            "meta": self.meta,
        }


class ComfyQueue:
    """What waits, what runs and what has run. `run` runs one, which begins at the given moment of `now`."""

    def __init__(
        self, listeners: Listeners, run: Callable[[Entry, float], Awaitable[Ended]], now: Callable[[], float]
    ) -> None:
        self.pending: list[Entry] = []
        self.running: Entry | None = None
        self.history: dict[str, Ended] = {}
        self.interrupted = False
        self.numbers = 0
        self._listeners = listeners
        self._run = run
        self._now = now
        self._task: asyncio.Task[None] | None = None

    def forget(self) -> None:
        """Begin anew, as a server that was killed."""
        if self._task is not None:
            self._task.cancel()
        self.pending.clear()
        self.running, self._task, self.numbers = None, None, 0
        self.history.clear()

    def add(self, entry: Entry) -> None:
        """Queue a run; an id that is known already runs again."""
        entry.extra["create_time"] = milliseconds()
        bisect.insort(self.pending, entry, key=lambda each: each.number)
        self._tell()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    def delete(self, prompt_id: str) -> bool:
        """Take one pending run out: nothing is left of it."""
        found = next((each for each in self.pending if each.prompt_id == prompt_id), None)
        if found is None:
            return False
        self.pending.remove(found)
        if not self.pending:
            self._tell()
        self._tell()
        return True

    def clear(self) -> None:
        """Take out everybody's pending runs."""
        self.pending.clear()
        self._tell()

    def interrupt(self, prompt_id: str | None) -> bool:
        """End the running one: that of the id, or, without one, whichever it is."""
        if self.running is None or (prompt_id and self.running.prompt_id != prompt_id):
            return False
        self.interrupted = True
        return True

    def cancel(self, prompt_id: str) -> bool:
        """End that one, pending or running, and no other."""
        return self.delete(prompt_id) or (bool(prompt_id) and self.interrupt(prompt_id))

    @property
    def remaining(self) -> int:
        """How many wait, with the running one."""
        return len(self.pending) + (self.running is not None)

    async def _work(self) -> None:
        while self.pending:
            entry = self.running = self.pending.pop(0)
            self.interrupted = False
            begun = self._now()
            self._tell()
            ended = await self._run(entry, begun)
            self.history.pop(entry.prompt_id, None)
            self.history[entry.prompt_id] = ended
            self.running = None
            self._tell()
            if entry.client_id is not None:
                self._listeners.tell(entry.client_id, "executing", {"node": None, "prompt_id": entry.prompt_id})

    def _tell(self) -> None:
        self._listeners.status(self.remaining)


def milliseconds() -> int:
    """Now, as the server's times are."""
    return int(time.time() * 1000)
