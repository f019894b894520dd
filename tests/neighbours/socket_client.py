"""A Socket.IO client on `/image-progress` that remembers what it hears."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import socketio

NAMESPACE = "/image-progress"
ENDS = ("completed", "failed")


class SocketListener:
    def __init__(self) -> None:
        self.client = socketio.AsyncClient(reconnection=False)
        self.heard = []
        """Pairs of event and data."""
        self.at = []
        """When each came."""
        self.disconnected = asyncio.Event()
        self._stirred = asyncio.Event()
        for event in ("progress", *ENDS):
            self.client.on(event, self._noting(event), namespace=NAMESPACE)
        self.client.on("disconnect", lambda _: self.disconnected.set(), namespace=NAMESPACE)

    def of(self, job_id):
        return [(event, data) for event, data in self.heard if data["job_id"] == job_id]

    async def until(self, event, job_id, seconds=20):
        """What was heard of the job up to that event."""
        async with asyncio.timeout(seconds):
            while event not in [name for name, _ in self.of(job_id)]:
                self._stirred.clear()
                await self._stirred.wait()
        return self.of(job_id)

    async def subscribe(self, **job):
        return await self.client.call("subscribe", job, namespace=NAMESPACE, timeout=20)

    async def unsubscribe(self, **job):
        return await self.client.call("unsubscribe", job, namespace=NAMESPACE, timeout=20)

    def _noting(self, event):
        def note(data):
            self.heard.append((event, data))
            self.at.append(time.monotonic())
            self._stirred.set()

        return note


@asynccontextmanager
async def listening(
    url, token=None, *, transports=("websocket",), headers=None, query=""
) -> AsyncIterator[SocketListener]:
    """A connected client; `token` goes into the handshake's `auth`."""
    listener = SocketListener()
    try:
        await listener.client.connect(
            f"{url}{query}",
            namespaces=[NAMESPACE],
            auth=None if token is None else {"token": token},
            headers=headers or {},
            transports=list(transports),
            wait_timeout=20,
        )
        yield listener
    finally:
        await listener.client.disconnect()
