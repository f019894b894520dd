"""What the server tells of itself."""

from __future__ import annotations

from typing import Final

from litestar import Response, get, post
from litestar.params import FromPath

from app.simulator.comfyui.answers import body, both, nothing, server, trouble
from app.simulator.comfyui.classes import CLASSES, told
from app.simulator.comfyui.listeners import FEATURES
from app.simulator.comfyui.server import Server
from app.simulator.wire import AnyRequest, answer

NEW, OLD = "0.33.0", "0.3.64"
_MODELS: Final = (
    *("checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models"),
    *("embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "latent_upscale_models"),
    *("custom_nodes", "datasets", "hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders"),
    *("background_removal", "frame_interpolation", "geometry_estimation", "optical_flow", "detection"),
)
_MEMORY: Final = 25276514304


@get(both("/object_info/{name:str}"))
async def object_info(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    """What a class takes; an unknown one is nothing."""
    comfy = server(request)
    return answer({name: told(name, comfy.checkpoints, comfy.disk.uploads())} if name in CLASSES else {})


@get(both("/object_info"))
async def all_object_info(request: AnyRequest) -> Response[bytes]:
    """All classes."""
    comfy = server(request)
    return answer({name: told(name, comfy.checkpoints, comfy.disk.uploads()) for name in CLASSES})


@get(both("/models"))
async def model_folders() -> Response[bytes]:
    """Where it looks for models."""
    return answer(list(_MODELS))


@get(both("/models/{folder:str}"))
async def models(request: AnyRequest, folder: FromPath[str]) -> Response[bytes]:
    """What lies there."""
    if folder not in _MODELS:
        return nothing(404)
    return answer(list(server(request).checkpoints) if folder == "checkpoints" else [])


@get(both("/embeddings"))
async def embeddings() -> Response[bytes]:
    """None."""
    return answer([])


@get(both("/features"))
async def features() -> Response[bytes]:
    """What it understands."""
    return answer(FEATURES)


@get(both("/system_stats"))
async def system_stats(request: AnyRequest) -> Response[bytes]:
    """Which server it is, and on what it runs."""
    memory = {"vram_total": _MEMORY, "vram_free": _MEMORY, "torch_vram_total": _MEMORY, "torch_vram_free": _MEMORY}
    packages = [
        {"name": "comfyui-frontend-package", "installed": "1.49.6", "required": "1.49.6"},
        {"name": "comfyui-workflow-templates", "installed": "0.11.44", "required": "0.11.44"},
    ]
    system = {
        "os": "linux",
        "ram_total": _MEMORY,
        "ram_free": _MEMORY,
        "comfyui_version": OLD if server(request).old else NEW,
        "required_frontend_version": "1.49.6",
        "installed_templates_version": "0.11.44",
        "required_templates_version": "0.11.44",
        "comfy_package_versions": packages,
        "python_version": "3.11.7",
        "pytorch_version": "2.13.0+cpu",
        "embedded_python": False,
        "deploy_environment": "local-git",
        "argv": ["main.py"],
    }
    return answer({"system": system, "devices": [{"name": "cpu", "type": "cpu", "index": None, **memory}]})


@post(both("/free"), status_code=200)
async def free(request: AnyRequest) -> Response[bytes]:
    """Unload models."""
    try:
        await body(request)
    except ValueError:
        return trouble()
    return nothing()


@get("/")
async def page() -> Response[bytes]:
    """Its own page."""
    headers = {"Cache-Control": "no-store, must-revalidate", "Accept-Ranges": "bytes"}
    return Response(b"<!doctype html><title>ComfyUI</title>", media_type="text/html", headers=headers)


@get("/nope")
async def unknown() -> Response[bytes]:
    """A path that it does not know."""
    return nothing(404)


@post("/_simulator/comfyui/restart", status_code=200)
async def restart(request: AnyRequest) -> Response[bytes]:
    """As one that was killed and started again; `checkpoints` and `version` may be others then."""
    comfy: Server = server(request)
    asked = await body(request) if await request.body() else {}
    old = asked.get("version", OLD if comfy.old else NEW) == OLD
    comfy.start_again(tuple(asked.get("checkpoints", comfy.checkpoints)), old=old)
    return answer({})


handlers: Final = (
    object_info,
    all_object_info,
    model_folders,
    models,
    embeddings,
    features,
    system_stats,
    free,
    page,
    unknown,
    restart,
)
