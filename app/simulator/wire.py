"""What the far ends' answers share: JSON, faults that are no answer at all, and pictures drawn off the event loop."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any, Final

from litestar import Request, Response

from app.simulator.draw import draw
from app.simulator.faults import Bench, Call, Fault

AnyRequest = Request[Any, Any, Any]
CUT_HERE: Final = b": cut\n\n"
"""A piece of a body that is not sent: the connection ends there."""


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """A JSON answer."""
    return Response(json.dumps(body).encode(), status_code=status, headers=headers, media_type="application/json")


def bench(request: AnyRequest) -> Bench:
    """The far ends' state."""
    found: Bench = request.app.state.bench
    return found


class Cut(Exception):
    """Raised to end a connection without an answer."""


def unanswered(fault: Fault) -> Response[bytes] | None:
    """The answer of a fault that concerns the connection or its bytes, not the vendor's words."""
    match fault.kind:
        case "drop":
            raise Cut
        case "badjson":
            return Response(b'{"data": [{"b64_', media_type="application/json")
        case _:
            return None


def spoilt(fault: Fault | None) -> list[bytes]:
    """What a fault sends instead of pictures; nothing: draw them."""
    match fault and fault.kind:
        case "garbage":
            return [b"this is no picture"]
        case "torn":
            return [draw("torn", "0", 64, 64)[:-200]]
        case _:
            return []


async def pictures(call: Call, n: int, size: tuple[int, int], form: str) -> list[bytes]:
    """`n` pictures of the call's prompt."""
    made = []
    for place in range(n):
        nonce = call.nonce if place == 0 else hashlib.sha256(f"{call.nonce}/{place}".encode()).hexdigest()[:16]
        made.append(await asyncio.to_thread(draw, call.prompt, nonce, *size, form))
    return made
