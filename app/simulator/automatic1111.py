"""Automatic1111's API (1.10): one run at a time, told by task; its interrupt stops whichever runs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import time
from typing import Any, Final

from litestar import Response, get, post
from msgspec import Struct
from PIL import Image, PngImagePlugin

from app.simulator.draw import draw, edit
from app.simulator.faults import Bench, Call
from app.simulator.wire import AnyRequest, answer, bench, spoilt, unanswered

TITLES: Final = ("sd-v1-5.safetensors [6ce0161689]", "sd-xl.safetensors [31e35c80fc]")
SAMPLERS: Final = ("Euler a", "DPM++ 2M")
STEPS: Final = 20


class Task(Struct):
    """The run under way. `done` goes from 0 to 1."""

    task_id: str
    begun: float
    seconds: float
    interrupted: bool = False

    @property
    def done(self) -> float:
        """By the time that has passed."""
        return min(1.0, (time.monotonic() - self.begun) / max(self.seconds, 0.001))


class WebUI:
    """The server's state: one run at a time, the others wait for its lock."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.task: Task | None = None
        self.waiting: set[str] = set()
        self.ended: set[str] = set()
        self.checkpoint = TITLES[0]
        """That is loaded."""


@post("/sdapi/v1/txt2img", status_code=200)
async def txt2img(request: AnyRequest) -> Response[bytes]:
    """A picture of words."""
    return await _run(request, await request.json())


@post("/sdapi/v1/img2img", status_code=200)
async def img2img(request: AnyRequest) -> Response[bytes]:
    """A picture of another."""
    body = await request.json()
    if not body.get("init_images"):
        return _error(404, "Init image not found")
    return await _run(request, body)


@get("/sdapi/v1/sd-models")
async def models(request: AnyRequest) -> Response[bytes]:
    """What is on its disk."""
    if (refusal := _refusal(request)) is not None:
        return refusal
    names = [(title, title.partition(" ")[0], title[-11:-1]) for title in TITLES]
    return answer(
        [
            {"title": title, "model_name": name.rpartition(".")[0], "hash": digest, "filename": f"/models/{name}"}
            for title, name, digest in names
        ]
    )


@get("/sdapi/v1/samplers")
async def samplers() -> Response[bytes]:
    """How it draws."""
    return answer([{"name": name, "aliases": [], "options": {}} for name in SAMPLERS])


@get("/sdapi/v1/schedulers")
async def schedulers() -> Response[bytes]:
    """With what noise."""
    known = (("automatic", "Automatic"), ("karras", "Karras"))
    more = {"aliases": None, "default_rho": -1.0, "need_inner_model": False}
    return answer([{"name": name, "label": label, **more} for name, label in known])


@get(["/sdapi/v1/sd-vae", "/sdapi/v1/upscalers"])
async def nothing_else() -> Response[bytes]:
    """It has none."""
    return answer([])


@get("/sdapi/v1/scripts")
async def scripts() -> Response[bytes]:
    """No extension is installed."""
    return answer({"txt2img": [], "img2img": []})


@get("/sdapi/v1/options")
async def options(request: AnyRequest) -> Response[bytes]:
    """How the instance is set, for all who use it."""
    return answer({"sd_model_checkpoint": _webui(request).checkpoint, "samples_format": "png", "return_grid": True})


@post("/sdapi/v1/options", status_code=200)
async def set_options(request: AnyRequest) -> Response[bytes]:
    """Here an unknown checkpoint is an error."""
    if (refusal := _refusal(request)) is not None:
        return refusal
    wanted = (await request.json()).get("sd_model_checkpoint")
    if wanted is not None and wanted not in TITLES:
        return _error(500, "", kind="RuntimeError", errors=f"model '{wanted}' not found")
    webui = _webui(request)
    webui.checkpoint = wanted or webui.checkpoint
    return answer(None)


@post("/sdapi/v1/refresh-checkpoints", status_code=200)
async def refresh() -> Response[bytes]:
    """Look at the disk again."""
    return answer(None)


@get("/sdapi/v1/progress")
async def progress(request: AnyRequest) -> Response[bytes]:
    """Of whichever runs; 0 when none does."""
    task = _webui(request).task
    done = 0.0 if task is None else task.done
    state = {"job_count": 0 if task is None else 1, "sampling_step": int(done * STEPS), "sampling_steps": STEPS}
    return answer({"progress": done, "eta_relative": 0.0, "state": state, "current_image": None, "textinfo": None})


@post("/internal/progress", status_code=200)
async def task_progress(request: AnyRequest) -> Response[bytes]:
    """Of one task."""
    webui, task_id = _webui(request), (await request.json())["id_task"]
    active = webui.task is not None and webui.task.task_id == task_id
    told = {"active": active, "queued": task_id in webui.waiting, "completed": task_id in webui.ended}
    return answer({**told, "progress": webui.task.done if active and webui.task else None, "live_preview": None})


@post(["/sdapi/v1/interrupt", "/sdapi/v1/skip"], status_code=200)
async def interrupt(request: AnyRequest) -> Response[bytes]:
    """It has no id: whoever runs is stopped."""
    task = _webui(request).task
    if task is not None:
        task.interrupted = True
    return answer({})


async def _run(request: AnyRequest, body: dict[str, Any]) -> Response[bytes]:
    if (refusal := _refusal(request)) is not None:
        return refusal
    if not isinstance(body.get("steps", STEPS) or STEPS, int):
        return answer({"detail": [{"loc": ["body", "steps"], "msg": "value is not a valid integer"}]}, 422)
    if (body.get("sampler_name") or SAMPLERS[0]) not in SAMPLERS:
        return _error(400, "Sampler not found")
    asked = {name: value for name, value in body.items() if name not in {"prompt", "init_images", "mask"}}
    model, task_id = body.get("override_settings", {}).get("sd_model_checkpoint", ""), body.get("force_task_id") or ""
    call, fault = bench(request).begin("automatic1111", model, body["prompt"], task_id, asked)
    call.inputs = [hashlib.sha256(_decoded(each)).hexdigest() for each in body.get("init_images", [])]
    if body.get("mask"):
        call.mask = hashlib.sha256(_decoded(body["mask"])).hexdigest()
    if fault is not None and (early := unanswered(fault)) is not None:
        return early
    if fault is not None and fault.status is not None:
        return _error(fault.status, "The simulated provider was told to fail.")
    await _draw_slowly(_webui(request), task_id, bench(request), call)
    size = (int(body.get("width") or 512), int(body.get("height") or 512))
    made = spoilt(fault) or await asyncio.to_thread(_made, call, body, size)
    call.pictures = [hashlib.sha256(each).hexdigest() for each in made]
    first = int(len(made) > 1 and bool(body.get("save_images")))
    images = [base64.b64encode(each).decode() for each in [*made[:1][:first], *made]]
    used = model if model in TITLES else _webui(request).checkpoint  # it says nothing of one that it does not know
    info = {"prompt": body["prompt"], "index_of_first_image": first, "sd_model_name": used.partition(".")[0]}
    return answer({"images": images, "parameters": asked, "info": json.dumps(info)})


async def _draw_slowly(webui: WebUI, task_id: str, desk: Bench, call: Call) -> None:
    webui.waiting.add(task_id)
    async with webui.lock:
        webui.waiting.discard(task_id)
        webui.task = task = Task(task_id, time.monotonic(), desk.seconds(call.prompt))
        while task.done < 1 and not task.interrupted:  # noqa: ASYNC110  # nothing tells of its time
            await asyncio.sleep(min(0.1, task.seconds))
        webui.task = None
        webui.ended.add(task_id)


def _made(call: Call, body: dict[str, Any], size: tuple[int, int]) -> list[bytes]:
    wanted = range(body.get("batch_size", 1) * body.get("n_iter", 1))
    nonces = [hashlib.sha256(f"{call.nonce}/{place}".encode()).hexdigest()[:16] for place in wanted]
    if not body.get("init_images"):
        return [_with_parameters(draw(call.prompt, nonce, *size), call.prompt) for nonce in nonces]
    base = Image.open(io.BytesIO(_decoded(body["init_images"][0])))
    mask = _clear_where_white(_decoded(body["mask"])) if body.get("mask") else None
    return [_with_parameters(edit(base, mask, call.prompt, nonce), call.prompt) for nonce in nonces]


def _decoded(text: str) -> bytes:
    """Base64, or a `data:` URL."""
    return base64.b64decode(text.rpartition(",")[2])


def _clear_where_white(mask: bytes) -> Image.Image:
    read = Image.open(io.BytesIO(mask)).convert("L")
    clear = Image.new("RGBA", read.size)
    clear.putalpha(read.point(lambda value: 255 - value))
    return clear


def _with_parameters(picture: bytes, prompt: str) -> bytes:
    told, out = PngImagePlugin.PngInfo(), io.BytesIO()
    told.add_text("parameters", f"{prompt}\nSteps: {STEPS}, Sampler: Euler a")
    Image.open(io.BytesIO(picture)).save(out, "png", pnginfo=told)
    return out.getvalue()


def _webui(request: AnyRequest) -> WebUI:
    found: WebUI = request.app.state.webui
    return found


def _refusal(request: AnyRequest) -> Response[bytes] | None:
    """As with `--api-auth user:right`, to whoever says who he is."""
    said = request.headers.get("authorization")
    if said is None or said == "Basic " + base64.b64encode(b"user:right").decode():
        return None
    return _error(401, "Incorrect username or password", {"www-authenticate": "Basic"})


def _error(
    status: int, detail: str, headers: dict[str, str] | None = None, kind: str = "HTTPException", errors: str = ""
) -> Response[bytes]:
    return answer({"error": kind, "detail": detail, "body": "", "errors": errors}, status, headers)


handlers: Final = (
    txt2img,
    img2img,
    models,
    samplers,
    schedulers,
    nothing_else,
    scripts,
    options,
    set_options,
    refresh,
    progress,
    task_progress,
    interrupt,
)
