"""Plays a recording of a real ComfyUI server to another one: its requests again, and what differs in the answers."""

from __future__ import annotations

import asyncio
import io
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

FOLDER = Path(__file__).parents[1] / "fixtures" / "comfyui"
SECONDS = 60
"""For what a server answers at once, on a machine with much else to do."""
RECORDED_AT = "37188"

ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")
FILE = re.compile(r"(?:.*/)?(?P<stem>.*?)(?:_[a-z]{5})?_\d{5}_\.png")
TIMES = frozenset({"timestamp", "create_time", "execution_start_time", "execution_end_time"})
COUNTED = frozenset({"number", "priority", "total"})
"""Numbers that go on from what the server did before."""
MACHINE = frozenset({"ram_free", "vram_free", "torch_vram_free", "python_version", "argv"})
UNORDERED = frozenset({"nodes", "executed", "current_outputs", "cycle_nodes"})
PROSE = frozenset({"exception_message"})
OF_BYTES = frozenset({"binary_length", "metadata_length", "first_hex"})
"""What depends on the picture in a frame."""
CUT = frozenset({"prompt", "meta", "workflow"})
"""What recordings leave out of long answers here and there."""
HEADERS = ("content-type", "content-disposition", "accept-ranges")


def recorded(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


class Hand:
    """A clock that goes on when it is told to: `due` is the moment which the server waits for."""

    def __init__(self) -> None:
        self.time = 0.0
        self.due = float("inf")

    def now(self) -> float:
        return self.time

    async def until(self, moment: float) -> None:
        self.due = moment
        while self.time < moment:  # noqa: ASYNC110  # it is moved by another thread
            await asyncio.sleep(0.002)

    def idle(self) -> None:
        self.due = float("inf")

    async def reach(self, moment: float) -> None:
        """Go on to that moment; all that was due by then has happened."""
        self.time = max(self.time, moment)
        async with asyncio.timeout(SECONDS):
            while self.due <= self.time:  # noqa: ASYNC110  # it is moved by another thread
                await asyncio.sleep(0.002)


class Replay:
    """One server, which is asked what the recordings' was; `differences` says where it answered otherwise."""

    def __init__(self, url: str, hand: Hand) -> None:
        self.differences: list[str] = []
        self._url = url
        self._hand = hand
        self._begun = 0.0
        self._client = httpx.AsyncClient(base_url=url, timeout=SECONDS, trust_env=False)
        self._sockets: dict[str, Listener] = {}
        self._names: dict[str, str] = {}
        """Ids and files that the server named, by what they are called in the recording."""

    async def play(self, recording: dict[str, Any]) -> None:
        """All steps of a recording, in its own time."""
        terse = "left_out" in recording
        self._begun = self._hand.now()
        for place, step in enumerate(recording["steps"]):
            await (self._hand.reach(self._begun + step["t"]) if "t" in step else self._rest())
            try:
                found = await self._step(step, terse)
            except TimeoutError as error:
                found = [f"nothing came: {type(error).__name__}"]
            where = f"step {place} ({step.get('why') or step['kind']})"
            self.differences += [f"{where}: {difference}" for difference in found]
            if any(difference.startswith("nothing came") for difference in found):
                break
        for name, socket in self._sockets.items():
            self.differences += [f"{name} has more: {frame[:200]!r}" for frame in socket.left(terse=terse)]

    async def close(self) -> None:
        for socket in self._sockets.values():
            await socket.close()
        await self._client.aclose()

    async def _step(self, step: dict[str, Any], terse: bool) -> list[str]:
        socket = self._sockets.get(step.get("socket", ""))
        match step["kind"]:
            case "http":
                return await self._ask(step["request"], step["response"])
            case "ws_open":
                return await self._open(step)
            case "ws_refused":
                return await self._refused(step)
            case "ws_send":
                await socket.send(step["frame"])
                await self._seen()
            case "ws_recv":
                told = {name: value for name, value in step["frame"].items() if name not in OF_BYTES}
                return list(self._compared(told, await socket.next(terse=terse), ""))
            case "ws_closed":
                return await self._closed(socket, step.get("code"))
            case "note" if step["text"] == "server killed":
                await self._client.post("/_simulator/comfyui/restart", json={"checkpoints": []})
        return []

    async def _rest(self) -> None:
        """Until nothing is queued."""
        while (await self._client.get("/prompt")).json()["exec_info"]["queue_remaining"]:
            await self._hand.reach(self._hand.due if self._hand.due < float("inf") else 0)

    async def _seen(self) -> None:
        """The server has had the time to see what happened on a socket before this."""
        await self._client.get("/prompt")

    async def _open(self, step: dict[str, Any]) -> list[str]:
        said = re.fullmatch(r"ws (\{.*\})", step["socket"])
        headers = json.loads(said[1].replace("'", '"')) if said else {}
        self._itself(step["url"])
        try:
            opened = await connect(self._socket_url(step["url"]), additional_headers=self._headers(headers))
        except InvalidStatus as refused:
            return [f"the socket was refused with {refused.response.status_code}"]
        self._sockets[step["socket"]] = Listener(opened)
        return []

    async def _refused(self, step: dict[str, Any]) -> list[str]:
        try:
            async with connect(self._socket_url("/ws"), additional_headers=self._headers(step["headers"])):
                return ["the socket was not refused"]
        except InvalidStatus as refused:
            status = refused.response.status_code
        return [] if status == step["status"] else [f"the socket was refused with {status}"]

    async def _closed(self, socket: Listener, code: int | None) -> list[str]:
        """By the server with that code, else by the client."""
        if code is not None:
            seen = await socket.closed()
            return [] if seen == code else [f"the socket was closed with {seen}"]
        await socket.close()
        await self._seen()
        return []

    def _socket_url(self, path: str) -> str:
        return f"ws{self._url.removeprefix('http')}{path}"

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        port = self._url.rpartition(":")[2]
        return {name: value.replace(RECORDED_AT, port) for name, value in headers.items()}

    async def _ask(self, asked: dict[str, Any], told: dict[str, Any]) -> list[str]:
        self._itself(asked["path"])
        self._itself(json.dumps(asked.get("json")))
        content = self._content(asked)
        headers = self._headers(asked.get("headers", {}))
        answer = await self._client.request(asked["method"], self._played(asked["path"]), headers=headers, **content)
        found = [] if answer.status_code == told["status"] else [f"status {answer.status_code}, not {told['status']}"]
        if not found and "headers" in told:
            found += self._compared_headers(told["headers"], answer.headers)
        return found + (self._compared_bodies(told, answer) if not found else [answer.text[:300]])

    def _content(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "json" in asked:
            return {"json": json.loads(self._played(json.dumps(asked["json"])))}
        if "body_note" in asked:
            return {"content": asked["body_note"].encode()}
        form = asked.get("form", {})
        files = {name: picture_file(value) for name, value in form.items() if value.startswith("<")}
        return {"files": files, "data": {k: v for k, v in form.items() if k not in files}} if form else {}

    def _compared_headers(self, told: dict[str, str], played: httpx.Headers) -> list[str]:
        wanted = {name: self._played(told[name]).partition("; charset")[0] for name in HEADERS if name in told}
        got = {name: played.get(name, "").partition("; charset")[0] for name in wanted}
        if "content-disposition" in wanted:  # beyond ASCII it comes as UTF-8, which httpx takes for another
            got["content-disposition"] = dict(played.raw)[b"content-disposition"].decode()
        return [f"{name}: {got[name]!r}, not {wanted[name]!r}" for name in wanted if got[name] != wanted[name]]

    def _compared_bodies(self, told: dict[str, Any], answer: httpx.Response) -> list[str]:
        if "json" in told:
            return list(self._compared(told["json"], answer.json(), ""))
        if "bytes" in told:
            magic = told["bytes"]["first_hex"][:8]
            return [] if answer.content.hex().startswith(magic) else [f"bytes begin with {answer.content[:4].hex()}"]
        wanted = told.get("text", told.get("body"))
        return [] if wanted in {None, answer.text} else [f"text {answer.text[:200]!r}, not {wanted!r}"]

    def _compared(self, told: Any, played: Any, where: str) -> Iterator[str]:  # noqa: C901, PLR0912  # a form a row
        key = where.rpartition("/")[2]
        if isinstance(told, str) and told.startswith("..."):
            return
        if key in TIMES | COUNTED | PROSE | MACHINE or (key == "0" and _is_entry(where)):
            if _kind(told) != _kind(played):
                yield f"{where}: {played!r}, not {told!r}"
        elif isinstance(told, dict) and isinstance(played, dict):
            if isinstance(told.get("status"), str) and "outputs" in told and "status_str" in str(played.get("status")):
                played = _digest(played, told)
            theirs = {self._played(name): value for name, value in told.items()}
            for name in sorted(theirs.keys() ^ (played.keys() - (CUT - theirs.keys()))):
                yield f"{where}/{name}: {'lacks' if name in theirs else 'is too much'}"
            for name in theirs.keys() & played.keys():
                yield from self._compared(theirs[name], played[name], f"{where}/{name}")
        elif isinstance(told, list) and isinstance(played, list):
            if told and isinstance(told[0], str) and told[0].startswith("... "):
                return
            if key == "dependent_outputs":  # a set's order decides which are in it
                return
            if key in UNORDERED:
                told, played = sorted(told), sorted(played)
            if _is_entry(f"{where}/0") and len(told) == 2:  # cut
                played = played[:2]
            if len(told) != len(played):
                yield f"{where}: {json.dumps(played)[:300]}, not {json.dumps(told)[:300]}"
            for place, (theirs, ours) in enumerate(zip(told, played, strict=False)):
                yield from self._compared(theirs, ours, f"{where}/{place}")
        elif isinstance(told, str) and isinstance(played, str):
            self._learn(told, played)
            if self._played(told) != played:
                yield f"{where}: {played[:300]!r}, not {self._played(told)[:300]!r}"
        elif told != played or isinstance(told, bool) != isinstance(played, bool):
            yield f"{where}: {played!r}, not {told!r}"

    def _learn(self, told: str, played: str) -> None:
        ids = ID.fullmatch(told) and ID.fullmatch(played)
        files = (FILE.fullmatch(told), FILE.fullmatch(played))
        if ids or (all(files) and files[0]["stem"] == files[1]["stem"]):
            self._names.setdefault(told, played)

    def _itself(self, text: str) -> None:
        """What the client names is called so by the server."""
        for found in ID.findall(text):
            self._names.setdefault(found, found)

    def _played(self, text: str) -> str:
        for name, played in self._names.items():
            if name != played:
                text = text.replace(name, played)
        return text


class Listener:
    """A socket whose frames are taken as they come."""

    def __init__(self, socket) -> None:
        self._socket = socket
        self._frames: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                self._frames.put_nowait(await self._socket.recv())
        except ConnectionClosed:
            pass

    async def send(self, frame: dict[str, Any]) -> None:
        await self._socket.send(json.dumps(frame))

    async def next(self, *, terse: bool) -> dict[str, Any]:
        async with asyncio.timeout(SECONDS):
            while terse and _is_progress_state(frame := await self._frames.get()):
                pass
            return _read_frame(frame if terse else await self._frames.get())

    def left(self, *, terse: bool) -> list[str | bytes]:
        frames = [self._frames.get_nowait() for _ in range(self._frames.qsize())]
        return [frame for frame in frames if not (terse and _is_progress_state(frame))]

    async def closed(self) -> int:
        async with asyncio.timeout(SECONDS):
            await self._reading
        return self._socket.close_code

    async def close(self) -> None:
        await self._socket.close()
        await self._reading


def _is_progress_state(frame: str | bytes) -> bool:
    return isinstance(frame, str) and frame.startswith('{"type": "progress_state"')


def _read_frame(frame: str | bytes) -> dict[str, Any]:
    """As the recordings have it: JSON, or what a binary one means."""
    if isinstance(frame, str):
        return json.loads(frame)
    event, word = struct.unpack_from(">II", frame)
    told: dict[str, Any] = {"event": event}
    if event == 1:
        told["format"], picture = word, frame[8:]
    else:
        told["metadata"], picture = json.loads(frame[8 : 8 + word]), frame[8 + word :]
    return {**told, "image_magic_hex": picture[:4].hex()}


def _is_entry(where: str) -> bool:
    """Whether it is the first of `[number, id, graph, …]`."""
    return re.search(r"/(?:queue_running|queue_pending)/\d+/0$|/prompt/0$", where) is not None


def _digest(history: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """What a recording keeps of an entry of the history that it did not keep whole."""
    whole = {
        "number": history["prompt"][0],
        "seed": history["prompt"][2]["2"]["inputs"]["seed"],
        "outputs": history["outputs"],
        "status": history["status"]["status_str"],
    }
    return {name: value for name, value in whole.items() if name in like}


def _kind(value: Any) -> tuple[str, bool]:
    return type(value).__name__, isinstance(value, int | float) and value < 0


def picture_file(told: str) -> tuple[str, bytes, str]:
    """A file of the length that was recorded: a picture, where it was one."""
    length, name, media_type = re.fullmatch(r"<(\d+) bytes, filename='(.*)', (.*)>", told).groups()
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (1, 2, 3)).save(out, "png")
    data = b"no picture" if name == "notanimage.png" else out.getvalue()
    return name, data.ljust(int(length), b"\0"), media_type
