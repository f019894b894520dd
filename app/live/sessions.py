"""Engine.IO sessions: how many there are, and which have not said who they are."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

from app.live.socketio_server import cut


class Sessions:
    """The sessions of a Socket.IO server; at most `limit` are open."""

    def __init__(self, server: Any, limit: int) -> None:
        self._server = server
        self.limit = limit
        self._strangers: set[str] = set()

    def named(self, name: str) -> Any:
        """The session; None once it has gone."""
        return self._server.eio.sockets.get(name)

    async def has_room(self) -> bool:
        """Whether another session may begin; for its sake the one goes that has not said who it is for longest."""
        sessions = self._server.eio.sockets
        if len(sessions) >= self.limit:
            stranger = next((name for name in sessions if self._server.in_namespace(name) is None), None)
            if stranger is not None:
                await cut(sessions[stranger])
        return len(sessions) < self.limit

    async def cut_strangers(self, known: AbstractSet[str]) -> None:
        """Cut the sessions that were not among the `known` the last time either."""
        sessions = self._server.eio.sockets
        strangers = set(sessions) - known
        for session in [sessions[stranger] for stranger in strangers & self._strangers]:
            await cut(session)
        self._strangers = strangers

    async def cut_all(self) -> None:
        """Let every session go."""
        for session in list(self._server.eio.sockets.values()):
            await cut(session)
