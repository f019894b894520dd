"""ComfyUI's routes (0.33, as recorded from a real server), each with and without `/api`."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Final

from litestar import Response, WebSocket, get, post, websocket
from litestar.datastructures import UploadFile
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath

from app.simulator.comfyui_queue import CHECKPOINTS, NODES, OUTPUTS, ComfyQueue, Graph, status_frame
from app.simulator.wire import AnyRequest, answer, bench, unanswered

_EMPTY: Final = Response(b"", status_code=200)
_TROUBLE: Final = "500 Internal Server Error\n\nServer got itself in trouble"


def _both(path: str) -> list[str]:
    return [path, f"/api{path}"]


@post(_both("/prompt"), status_code=200)
async def start(request: AnyRequest) -> Response[bytes]:
    """Queue a graph, or say what is wrong with it."""
    body = await request.json()
    graph: Any = body.get("prompt")
    if not isinstance(graph, dict):
        return Response(_TROUBLE.encode(), status_code=500, media_type="text/plain")
    prompt_id = str(body.get("prompt_id") or uuid.uuid4())
    if (refusal := _refusal(graph, prompt_id)) is not None:
        return answer(refusal, 400)
    prompt = "\n".join(each["inputs"]["text"] for each in graph.values() if each["class_type"] == "CLIPTextEncode")
    model = next((each["inputs"]["ckpt_name"] for each in graph.values() if "ckpt_name" in each["inputs"]), "")
    asked = {"prompt_id": prompt_id, "client_id": body.get("client_id"), "graph": graph}
    call, fault = bench(request).begin("comfyui", model, prompt, prompt_id, asked)
    if fault is not None and fault.status is not None:
        return Response(_TROUBLE.encode(), status_code=fault.status, media_type="text/plain")
    if fault is not None and fault.kind != "drop" and (early := unanswered(fault)) is not None:
        return early
    number = _queue(request).add(prompt_id, graph, body.get("client_id"), _outputs(graph), call)
    if fault is not None and fault.kind == "drop":
        unanswered(fault)
    return answer({"prompt_id": prompt_id, "number": number, "node_errors": {}})


@get(_both("/prompt"))
async def remaining(request: AnyRequest) -> Response[bytes]:
    """How many wait."""
    return answer({"exec_info": {"queue_remaining": _queue(request).remaining}})


@get(_both("/queue"))
async def queued(request: AnyRequest) -> Response[bytes]:
    """Who runs and who waits."""
    queue = _queue(request)
    running = [] if queue.running is None else [queue.running.listed()]
    return answer({"queue_running": running, "queue_pending": [each.listed() for each in queue.pending]})


@post(_both("/queue"), status_code=200)
async def change_queue(request: AnyRequest) -> Response[bytes]:
    """`delete` takes pending ones out; `clear` everybody's."""
    body = await request.json()
    queue = _queue(request)
    if body.get("clear"):
        queue.pending.clear()
    for prompt_id in body.get("delete", []):
        queue.delete(prompt_id)
    return _EMPTY


@get(_both("/history/{prompt_id:str}"))
async def history(request: AnyRequest, prompt_id: FromPath[str]) -> Response[bytes]:
    """`{}` until it has ended."""
    found = _queue(request).history.get(prompt_id)
    return answer({} if found is None else {prompt_id: found})


@post(_both("/interrupt"), status_code=200)
async def interrupt(request: AnyRequest) -> Response[bytes]:
    """Without an id it ends whichever runs."""
    try:
        prompt_id = (await request.json()).get("prompt_id")
    except (ValueError, AttributeError):
        prompt_id = None
    _queue(request).interrupt(prompt_id)
    return _EMPTY


@post("/api/jobs/{prompt_id:str}/cancel", status_code=200)
async def cancel(request: AnyRequest, prompt_id: FromPath[str]) -> Response[bytes]:
    """That one, pending or running, and no other."""
    queue = _queue(request)
    return answer({"cancelled": queue.delete(prompt_id) or queue.interrupt(prompt_id)})


@post(_both("/upload/image"), status_code=200)
async def upload(request: AnyRequest) -> Response[bytes]:
    """Keeps the bytes unseen; the same name with other bytes becomes another name, unless it is to be overwritten."""
    form = await request.form()
    file = form.get("image")
    if not isinstance(file, UploadFile) or not file.filename:
        return Response(_TROUBLE.encode(), status_code=500, media_type="text/plain")
    files, data, name = _queue(request).files, await file.read(), file.filename
    if files.get(("input", "", name), data) != data and form.get("overwrite") not in {"true", "1"}:
        stem, dot, end = name.rpartition(".")
        name = f"{stem} (1){dot}{end}"
    files["input", "", name] = data
    return answer({"name": name, "subfolder": "", "type": "input"})


@get(_both("/view"))
async def view(request: AnyRequest) -> Response[bytes]:
    """A file's bytes."""
    wanted = request.query_params
    found = _queue(request).files.get((wanted.get("type") or "output", wanted.get("subfolder", ""), wanted["filename"]))
    return Response(b"", status_code=404) if found is None else Response(found, media_type="image/png")


@get(_both("/object_info/{name:str}"))
async def object_info(name: FromPath[str]) -> Response[bytes]:
    """What a class takes; an unknown one is nothing."""
    if name == "CheckpointLoaderSimple":
        return answer({name: {"input": {"required": {"ckpt_name": [list(CHECKPOINTS), {"tooltip": "The model."}]}}}})
    return answer({name: {"input": {"required": {}}}} if name in NODES else {})


@get(_both("/object_info"))
async def all_object_info() -> Response[bytes]:
    """All classes."""
    return answer({name: {"input": {"required": {}}, "output": [], "output_node": name in OUTPUTS} for name in NODES})


@get(_both("/system_stats"))
async def system_stats() -> Response[bytes]:
    """Which server this plays."""
    return answer({"system": {"os": "linux", "comfyui_version": "0.33.0"}, "devices": []})


@post("/_simulator/comfyui/restart", status_code=200)
async def restart(request: AnyRequest) -> Response[bytes]:
    """Forget queue and history, as a server that was killed."""
    _queue(request).forget()
    return answer({})


@websocket(_both("/ws"))
async def listen(socket: WebSocket[Any, Any, Any]) -> None:
    """Frames of the client's own runs, and how many wait."""
    queue: ComfyQueue = socket.app.state.comfyui
    client_id = socket.query_params.get("clientId") or uuid.uuid4().hex
    frames: asyncio.Queue[str | bytes] = asyncio.Queue()
    await socket.accept()
    queue.sockets[client_id] = frames.put_nowait
    frames.put_nowait(status_frame(queue.remaining, client_id))
    sending = asyncio.create_task(_send_on(socket, frames))
    try:
        while True:
            await socket.receive_data(mode="text")
    except WebSocketDisconnect:
        pass
    finally:
        sending.cancel()
        queue.sockets.pop(client_id, None)  # of two with one id the newer goes deaf, too


async def _send_on(socket: WebSocket[Any, Any, Any], frames: asyncio.Queue[str | bytes]) -> None:
    while True:
        frame = await frames.get()
        await socket.send_data(frame, mode="binary" if isinstance(frame, bytes) else "text")


def _queue(request: AnyRequest) -> ComfyQueue:
    found: ComfyQueue = request.app.state.comfyui
    return found


def _outputs(graph: Graph) -> list[str]:
    return [node for node, each in graph.items() if each["class_type"] in OUTPUTS]


def _refusal(graph: Graph, prompt_id: str) -> dict[str, Any] | None:
    try:
        canonical = str(uuid.UUID(prompt_id)) == prompt_id
    except ValueError:
        canonical = False
    if not canonical:
        return _error("invalid_prompt_id", "prompt_id must be a valid UUID")
    for node, each in graph.items():
        if each.get("class_type") not in NODES:
            return _error("missing_node_type", f"Node '{node}' not found. The custom node may not be installed.")
    if not _outputs(graph):
        return _error("prompt_no_outputs", "Prompt has no outputs")
    faults = {node: found for node, each in graph.items() if (found := _node_faults(each))}
    return _error("prompt_outputs_failed_validation", "Prompt outputs failed validation", faults) if faults else None


def _node_faults(node: dict[str, Any]) -> dict[str, Any] | None:
    inputs, kind = node.get("inputs", {}), node["class_type"]
    if kind == "CheckpointLoaderSimple" and inputs.get("ckpt_name") not in CHECKPOINTS:
        fault, details = "value_not_in_list", f"ckpt_name: '{inputs.get('ckpt_name')}' not in {list(CHECKPOINTS)}"
        message = "Value not in list"
    elif kind == "KSampler" and int(inputs.get("steps", 0)) < 1:
        fault, message, details = "value_smaller_than_min", "Value 0 smaller than min of 1", "steps"
    else:
        return None
    errors = [{"type": fault, "message": message, "details": details, "extra_info": {}}]
    return {"errors": errors, "dependent_outputs": [], "class_type": kind}


def _error(kind: str, message: str, faults: dict[str, Any] | None = None) -> dict[str, Any]:
    error = {"type": kind, "message": message, "details": "", "extra_info": {}}
    return {"error": error, "node_errors": faults or {}}


handlers: Final = (
    start,
    remaining,
    queued,
    change_queue,
    history,
    interrupt,
    cancel,
    upload,
    view,
    object_info,
    all_object_info,
    system_stats,
    restart,
    listen,
)
