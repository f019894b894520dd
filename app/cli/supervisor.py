"""The child processes of `darkroom dev`: started, started again when they end unasked, and ended together."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from app.cli.messages import say

END_SECONDS: Final = 8.0
"""A child that has not ended by then is killed; the whole takes less than ten seconds."""
FIRST_PAUSE_SECONDS: Final = 0.5
MAX_PAUSE_SECONDS: Final = 30.0
LAST: Final = "redis"
"""The child that the others use: it ends after them."""


class Supervisor:
    """The children by name. Their process ids are kept in `folder`, so that the next start finds what a kill left."""

    def __init__(self, folder: Path) -> None:
        self._pids = folder / "children"
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._restarts: list[asyncio.Task[None]] = []
        self._ending = False

    async def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a child, and start it again whenever it ends."""
        await self._spawn(name, command, environment)
        self._restarts.append(asyncio.create_task(self._restart(name, command, environment)))

    def kill(self) -> None:
        """End every child at once."""
        _kill(self._children.values())

    async def stop(self) -> None:
        """End the children, those that use Redis before Redis itself."""
        self._ending = True
        last = self._children.pop(LAST, None)
        await _end(list(self._children.values()))
        await _end([last] if last else [])
        for restart in self._restarts:
            restart.cancel()

    async def _restart(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """The pause before a restart doubles each time."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            status = await self._children[name].wait()
            if self._ending:
                return
            say(f"{name} ended with status {status}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(MAX_PAUSE_SECONDS, pause * 2)
            if not self._ending:
                await self._spawn(name, command, environment)

    async def _spawn(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._children[name] = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=sys.stderr, stdin=asyncio.subprocess.DEVNULL, preexec_fn=_die_with_parent
        )
        pids = {str(child.pid): _started_at(child.pid) for child in self._children.values()}
        self._pids.write_text(json.dumps(pids))


def kill_leftovers(folder: Path) -> None:
    """Kill what a killed `darkroom dev` left: only processes that still are the ones that it started."""
    with contextlib.suppress(OSError, ValueError):
        for pid, started_at in json.loads((folder / "children").read_text()).items():
            if started_at and _started_at(int(pid)) == started_at:
                say(f"ending process {pid}, left over from an earlier start")
                os.kill(int(pid), signal.SIGKILL)


async def _end(children: list[asyncio.subprocess.Process]) -> None:
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
    waits = [asyncio.ensure_future(child.wait()) for child in children]
    if not waits:
        return
    _, late = await asyncio.wait(waits, timeout=END_SECONDS)
    if late:
        _kill(child for child in children if child.returncode is None)
        await asyncio.wait(late)


def _kill(children: Iterable[asyncio.subprocess.Process]) -> None:
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.kill()


def _die_with_parent() -> None:
    """Runs in the child: out of the terminal's Ctrl-C, and killed when the parent is (Linux)."""
    os.setpgrp()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _started_at(pid: int) -> str:
    """The kernel's start time of a process (Linux), which no other process of that pid shares."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
