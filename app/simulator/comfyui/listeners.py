"""The sockets of the server's clients, and the frames that they are sent."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, Final

Send = Callable[[str | bytes | None], None]
"""Takes a frame; None ends the connection."""

FEATURES: Final = {
    "supports_preview_metadata": True,
    "supports_model_type_tags": True,
    "max_upload_size": 104857600,
    "extension": {"manager": {"supports_v4": True}},
    "node_replacements": True,
    "assets": False,
}
_PREVIEW, _PREVIEW_OF = 1, 4
_FORMS: Final = {"jpeg": 1, "png": 2}


class Listeners:
    """By client id: of two with one id the newer hears, until either goes."""

    def __init__(self) -> None:
        self._sends: dict[str, Send] = {}
        self._with_metadata: set[str] = set()

    def add(self, client_id: str, send: Send) -> None:
        """Another one, or one again."""
        self._sends[client_id] = send
        self._with_metadata.discard(client_id)

    def remove(self, client_id: str) -> None:
        """Gone, and with it a newer one of the same id."""
        self._sends.pop(client_id, None)

    def drop(self) -> None:
        """End all connections, as a server that is killed."""
        for send in self._sends.values():
            send(None)
        self._sends.clear()

    def greet(self, client_id: str, message: Any) -> None:
        """Its first message: it may say what it understands."""
        if isinstance(message, dict) and message.get("type") == "feature_flags":
            if message.get("data", {}).get("supports_preview_metadata"):
                self._with_metadata.add(client_id)
            self.tell(client_id, "feature_flags", FEATURES)

    def tell(self, client_id: str | None, kind: str, data: dict[str, Any]) -> None:
        """One client; without an id, all of them."""
        self._send(client_id, json.dumps({"type": kind, "data": data}))

    def status(self, remaining: int, client_id: str | None = None) -> None:
        """How many wait, with the running one: to all, or to one that has just come, with its id."""
        data: dict[str, Any] = {"status": {"exec_info": {"queue_remaining": remaining}}}
        self.tell(client_id, "status", data if client_id is None else {**data, "sid": client_id})

    def understands_metadata(self, client_id: str | None) -> bool:
        """Whether a preview may say whose it is."""
        return client_id in self._with_metadata

    def preview(self, client_id: str | None, picture: bytes, form: str, whose: dict[str, Any]) -> None:
        """A look at a run."""
        if not self.understands_metadata(client_id):
            self._send(client_id, struct.pack(">II", _PREVIEW, _FORMS[form]) + picture)
            return
        told = json.dumps({**whose, "image_type": f"image/{form}"}).encode()
        self._send(client_id, struct.pack(">II", _PREVIEW_OF, len(told)) + told + picture)

    def _send(self, client_id: str | None, frame: str | bytes) -> None:
        sends = list(self._sends.values()) if client_id is None else [self._sends.get(client_id)]
        for send in filter(None, sends):
            send(frame)
