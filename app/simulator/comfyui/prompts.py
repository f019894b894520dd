"""`/prompt`, `/queue`, `/history` and `/interrupt`."""

from __future__ import annotations

import uuid
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from app.simulator.comfyui.answers import body, both, nothing, server, trouble
from app.simulator.comfyui.classes import told
from app.simulator.comfyui.graphs import Graph
from app.simulator.comfyui.queue import Entry
from app.simulator.comfyui.server import Server
from app.simulator.comfyui.validation import NodeErrors, Refused, Validation, fault
from app.simulator.wire import AnyRequest, answer, bench, unanswered


@post(both("/prompt"), status_code=200)
async def start(request: AnyRequest) -> Response[bytes]:
    """Queue a graph, or say what is wrong with it."""
    comfy = server(request)
    try:
        asked = await body(request)
    except ValueError:
        return trouble()
    number = _number(comfy, asked)
    if "prompt" not in asked:
        return _refused(fault("no_prompt", "No prompt provided", "No prompt provided"))
    graph: Any = asked["prompt"]
    if comfy.old and isinstance(graph, dict | list):
        graph = {node: each if isinstance(each, dict) else {} for node, each in dict(graph).items()}
    if not isinstance(graph, dict) or not all(isinstance(each, dict) for each in graph.values()):
        return trouble()
    given = asked.get("prompt_id")
    prompt_id = str(uuid.uuid4()) if given is None else str(given)
    if not comfy.old and not _is_canonical(given if given is not None else prompt_id):
        details = "prompt_id must be a UUID string in canonical lowercase hyphenated form; "
        details += "omit it to let the server generate one"
        return _refused(fault("invalid_prompt_id", "prompt_id must be a valid UUID", details))
    try:
        outputs, errors = _validation(comfy, graph).run(old=comfy.old)
    except Refused as refused:
        return _refused(refused.error, refused.node_errors)
    extra = {**asked.get("extra_data", {}), **({"client_id": asked["client_id"]} if "client_id" in asked else {})}
    queued = {"number": number, "prompt_id": prompt_id, "graph": graph, "extra": extra, "outputs": outputs}
    return _queue(request, queued, errors)


def _queue(request: AnyRequest, queued: dict[str, Any], errors: NodeErrors) -> Response[bytes]:
    graph, prompt_id = queued["graph"], queued["prompt_id"]
    prompt = "\n".join(str(each["inputs"]["text"]) for each in graph.values() if each["class_type"] == "CLIPTextEncode")
    model = next((each["inputs"]["ckpt_name"] for each in graph.values() if "ckpt_name" in each["inputs"]), "")
    asked = {"prompt_id": prompt_id, "client_id": queued["extra"].get("client_id"), "graph": graph}
    call, gone = bench(request).begin("comfyui", model, prompt, prompt_id, asked)
    if gone is not None and gone.status is not None:
        return trouble(gone.status)
    if gone is not None and gone.kind != "drop" and (early := unanswered(gone)) is not None:
        return early
    server(request).queue.add(Entry(**queued, call=call))
    if gone is not None and gone.kind == "drop":
        unanswered(gone)
    return answer({"prompt_id": prompt_id, "number": queued["number"], "node_errors": errors})


@get(both("/prompt"))
async def remaining(request: AnyRequest) -> Response[bytes]:
    """How many wait."""
    return answer({"exec_info": {"queue_remaining": server(request).queue.remaining}})


@get(both("/queue"))
async def queued(request: AnyRequest) -> Response[bytes]:
    """Who runs and who waits."""
    queue = server(request).queue
    running = [] if queue.running is None else [queue.running.listed()]
    return answer({"queue_running": running, "queue_pending": [each.listed() for each in queue.pending]})


@post(both("/queue"), status_code=200)
async def change_queue(request: AnyRequest) -> Response[bytes]:
    """`delete` takes pending ones out; `clear` everybody's."""
    asked, queue = await body(request), server(request).queue
    if asked.get("clear"):
        queue.clear()
    for prompt_id in asked.get("delete", []):
        queue.delete(prompt_id)
    return nothing()


@get(both("/history"))
async def all_history(request: AnyRequest) -> Response[bytes]:
    """What has run, oldest first; of `max_items` the newest."""
    ended = list(server(request).queue.history.items())
    most = int(request.query_params.get("max_items", len(ended)) or len(ended))
    return answer({prompt_id: each.told() for prompt_id, each in ended[-most:] if most})


@get(both("/history/{prompt_id:str}"))
async def history(request: AnyRequest, prompt_id: FromPath[str]) -> Response[bytes]:
    """`{}` until it has ended."""
    found = server(request).queue.history.get(prompt_id)
    return answer({} if found is None else {prompt_id: found.told()})


@post(both("/history"), status_code=200)
async def change_history(request: AnyRequest) -> Response[bytes]:
    """`delete` forgets some, `clear` all."""
    asked, ended = await body(request), server(request).queue.history
    if asked.get("clear"):
        ended.clear()
    for prompt_id in asked.get("delete", []):
        ended.pop(prompt_id, None)
    return nothing()


@post(both("/interrupt"), status_code=200)
async def interrupt(request: AnyRequest) -> Response[bytes]:
    """Without an id it ends whichever runs."""
    try:
        asked = await body(request)
    except ValueError:
        asked = {}
    if not isinstance(asked, dict):
        return trouble()
    server(request).queue.interrupt(asked.get("prompt_id"))
    return nothing()


def _number(comfy: Server, asked: Any) -> float:
    """Its place in the queue: the lower, the sooner."""
    number = comfy.queue.numbers
    comfy.queue.numbers += 1
    if isinstance(asked, dict) and "number" in asked:
        return float(asked["number"])
    return -number if isinstance(asked, dict) and asked.get("front") else number


def _is_canonical(prompt_id: Any) -> bool:
    try:
        return isinstance(prompt_id, str) and str(uuid.UUID(prompt_id)) == prompt_id
    except ValueError:
        return False


def _validation(comfy: Server, graph: Graph) -> Validation:
    uploads = comfy.disk.uploads()
    return Validation(graph, lambda kind: told(kind, comfy.checkpoints, uploads), lambda name: name in uploads)


def _refused(error: dict[str, Any], node_errors: NodeErrors | None = None) -> Response[bytes]:
    return answer({"error": error, "node_errors": node_errors or {}}, 400)


handlers: Final = (
    start,
    remaining,
    queued,
    change_queue,
    all_history,
    history,
    change_history,
    interrupt,
)
