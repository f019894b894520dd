"""Everything of one ComfyUI: its folders, cache, clients and queue."""

from __future__ import annotations

from app.simulator.comfyui.cache import Cache
from app.simulator.comfyui.disk import Disk
from app.simulator.comfyui.listeners import Listeners
from app.simulator.comfyui.queue import ComfyQueue, Ended, Entry
from app.simulator.comfyui.run import Run
from app.simulator.faults import Bench


class Server:
    """Everything of one ComfyUI."""

    def __init__(self, bench: Bench, checkpoints: tuple[str, ...]) -> None:
        self.bench = bench
        self.checkpoints = checkpoints
        self.old = False
        """Whether it is 0.3.64."""
        self.disk = Disk()
        self.cache = Cache()
        self.listeners = Listeners()
        self.last_node: str | None = None
        """That the running one is at."""
        self.queue = ComfyQueue(self.listeners, self._run, self._now)

    def start_again(self, checkpoints: tuple[str, ...], *, old: bool) -> None:
        """As one that was killed: it has forgotten everything but what was saved and uploaded."""
        self.checkpoints, self.old = checkpoints, old
        self.queue.forget()
        self.cache.clear()
        self.disk.start_again()
        self.listeners.drop()
        self.bench.clock.idle()

    def _now(self) -> float:
        return self.bench.clock.now()

    async def _run(self, entry: Entry, begun: float) -> Ended:
        ended = await Run(entry, begun, self).run()
        self.last_node = None
        return ended
