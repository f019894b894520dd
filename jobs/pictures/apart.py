"""Processes that decode pictures for others: one that crashes, hangs or grows ends alone, and is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import struct
import sys
from asyncio.subprocess import PIPE, Process
from typing import TYPE_CHECKING, Final

from jobs.pictures.sniff import NotAPicture, pillow
from jobs.pictures.tasks import Task, answered, decode_answer, encode

if TYPE_CHECKING:
    from jobs.pictures.gate import CleanPicture

MAX_PROCESSES: Final = 2
"""Pictures that are worked on at a time."""
MAX_MEMORY_BYTES: Final = 1024 * 1024 * 1024
"""Address space of a process; what takes most of what is let in, WebP of 50 megapixels, needs 800 MB."""
MAX_SECONDS: Final = 60.0
"""For a picture; one of 48 megapixels takes two, and more where the machine has other work."""
_LENGTH: Final = struct.Struct(">I")
"""Bytes of the message that follows."""
_BUFFER_BYTES: Final = 1024 * 1024


class Apart:
    """At most two processes, begun with the first picture, ended with `close` or the process that began them."""

    def __init__(self, seconds: float = MAX_SECONDS, memory_bytes: int = MAX_MEMORY_BYTES) -> None:
        self._seconds = seconds
        self._command = ("-m", __spec__.name, str(memory_bytes))
        self._turns = asyncio.Semaphore(MAX_PROCESSES)
        self._idle: list[Process] = []

    async def do(self, task: Task) -> CleanPicture:
        """Have a task done. Raises `NotAPicture`, also for a picture of which its process dies, twice."""
        message = encode(task)
        async with self._turns:
            try:
                async with asyncio.timeout(self._seconds):
                    answer = await self._asked(message) or await self._asked(message)
            except TimeoutError:
                raise NotAPicture("it takes too long to be read") from None
        if answer is None:
            raise NotAPicture("its decoder ended")
        found = decode_answer(answer)
        if found.picture is None:
            raise NotAPicture(found.refused)
        return found.picture

    async def close(self) -> None:
        """End the processes that have nothing to do; the others end with who waits for them."""
        while self._idle:
            await _end(self._idle.pop())

    async def _asked(self, message: bytes) -> bytes | None:
        """The answer; None where the process ended without one."""
        process = await self._process()
        try:
            answer = await _exchanged(process, message)
            self._idle.append(process)
        except (asyncio.IncompleteReadError, ConnectionError):
            await _end(process)
            return None
        except BaseException:  # nobody waits for its answer any more
            await _end(process)
            raise
        return answer

    async def _process(self) -> Process:
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        return await asyncio.create_subprocess_exec(
            sys.executable, *self._command, stdin=PIPE, stdout=PIPE, limit=_BUFFER_BYTES
        )


async def _exchanged(process: Process, message: bytes) -> bytes:
    """Raises `IncompleteReadError` and `ConnectionError` where the process ends."""
    if process.stdin is None or process.stdout is None:
        raise ConnectionError("it has no pipes")
    process.stdin.write(_LENGTH.pack(len(message)))
    process.stdin.write(message)
    await process.stdin.drain()
    (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
    return await process.stdout.readexactly(length)


async def _end(process: Process) -> None:
    """Kill a process, and let go of its pipes while the loop still runs."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()


def _serve(memory_bytes: int) -> None:
    """Answer one task after another until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal all of us hear it: who asks comes to its end first
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    pillow()
    asked, told = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(BrokenPipeError):
        while head := asked.read(_LENGTH.size):
            answer = answered(asked.read(_LENGTH.unpack(head)[0]))
            told.write(_LENGTH.pack(len(answer)))
            told.write(answer)
            told.flush()
            del answer  # as large as its picture, and not to be held beside the next


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
