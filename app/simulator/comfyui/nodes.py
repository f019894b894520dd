"""What each class makes of its inputs: pictures are drawn, not dreamt."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct
from PIL import Image, ImageOps

from app.simulator.comfyui.disk import Disk, Outside
from app.simulator.comfyui.graphs import Graph
from app.simulator.draw import draw, edit
from app.simulator.faults import Call

_MEMORY: Final = 2**34
"""Bytes that the server has."""


class Latent(Struct, frozen=True):
    """What a sampler begins with: a size, or pictures and perhaps a mask, and how many are wanted."""

    size: tuple[int, int]
    count: int = 1
    pictures: list[Any] = []
    mask: Any = None


class Workshop(Struct, frozen=True):
    """What a node may use beside its inputs."""

    disk: Disk
    graph: Graph
    call: Call


def made(kind: str, inputs: dict[str, Any], workshop: Workshop) -> tuple[Any, ...]:
    """The node's outputs. Raises whatever is wrong with its inputs."""
    return _MAKERS[kind](inputs, workshop)


def shown(kind: str, inputs: dict[str, Any], workshop: Workshop) -> dict[str, Any]:
    """What an output node tells: where its pictures lie, or its text."""
    if kind == "DrText":
        return {"text": [f'{{"text": "{inputs["text"]}"}}']}
    disk, pictures = workshop.disk, inputs["images"]
    if kind == "PreviewImage":
        return {"images": disk.save("temp", disk.temporary, pictures, workshop.graph)}
    try:
        return {"images": disk.save("output", inputs["filename_prefix"], pictures, workshop.graph)}
    except Outside:
        raise Exception(  # noqa: TRY002  # as ComfyUI raises it
            "**** ERROR: Saving image outside the output folder is not allowed.\n full_output_folder: /srv/comfy"
        ) from None


def _empty_image(inputs: dict[str, Any], _: Workshop) -> tuple[Any, ...]:
    width, height, count = (int(inputs[name]) for name in ("width", "height", "batch_size"))
    if (wanted := width * height * 4 * count) > _MEMORY:
        raise RuntimeError(f"can't allocate memory: you tried to allocate {wanted} bytes")
    colour = int(inputs["color"])
    return ([Image.new("RGB", (width, height), (colour >> 16, colour >> 8 & 255, colour & 255))] * count,)


def _load_image(inputs: dict[str, Any], workshop: Workshop) -> tuple[Any, ...]:
    picture = Image.open(io.BytesIO(workshop.disk.uploaded(inputs["image"])))
    alpha = picture.convert("RGBA").getchannel("A")
    return [picture.convert("RGB")], ImageOps.invert(alpha)


def _image_scale(inputs: dict[str, Any], _: Workshop) -> tuple[Any, ...]:
    size = (int(inputs["width"]), int(inputs["height"]))
    return ([picture.resize(size) for picture in inputs["image"]],)


def _solid_mask(inputs: dict[str, Any], _: Workshop) -> tuple[Any, ...]:
    size = (int(inputs["width"]), int(inputs["height"]))
    return (Image.new("L", size, round(float(inputs["value"]) * 255)),)


def _empty_latent(inputs: dict[str, Any], _: Workshop) -> tuple[Any, ...]:
    return (Latent((int(inputs["width"]), int(inputs["height"])), int(inputs["batch_size"])),)


def _encoded(inputs: dict[str, Any], _: Workshop) -> tuple[Any, ...]:
    pictures = inputs["pixels"]
    return (Latent(pictures[0].size, len(pictures), pictures, inputs.get("mask")),)


def _repeated(inputs: dict[str, Any], _: Workshop) -> tuple[Any, ...]:
    latent: Latent = inputs["samples"]
    return (Latent(latent.size, latent.count * int(inputs["amount"]), latent.pictures, latent.mask),)


def _sampled(inputs: dict[str, Any], workshop: Workshop) -> tuple[Any, ...]:
    latent: Latent = inputs["latent_image"]
    return ([_drawn(latent, place, workshop.call) for place in range(latent.count)],)


def _drawn(latent: Latent, place: int, call: Call) -> Image.Image:
    nonce = hashlib.sha256(f"{call.nonce}/{place}".encode()).hexdigest()[:16]
    if not latent.pictures:
        return Image.open(io.BytesIO(draw(call.prompt, nonce, *latent.size)))
    base = latent.pictures[place % len(latent.pictures)]
    mask = None if latent.mask is None else _clear_where_white(latent.mask.resize(base.size))
    return Image.open(io.BytesIO(edit(base, mask, call.prompt, nonce)))


def _clear_where_white(mask: Image.Image) -> Image.Image:
    clear = Image.new("RGBA", mask.size)
    clear.putalpha(ImageOps.invert(mask))
    return clear


def _failing(inputs: dict[str, Any], _: Workshop) -> tuple[Any, ...]:
    raise RuntimeError(inputs.get("message", "/srv/comfy/nodes.py: no"))


_MAKERS: Final[dict[str, Callable[[dict[str, Any], Workshop], tuple[Any, ...]]]] = {
    "CheckpointLoaderSimple": lambda _, __: (None, None, None),
    "CLIPTextEncode": lambda inputs, _: (inputs["text"],),
    "DrDeaf": lambda inputs, _: (inputs["image"],),
    "DrFail": _failing,
    "DrSleep": lambda inputs, _: (inputs["image"],),
    "EmptyImage": _empty_image,
    "EmptyLatentImage": _empty_latent,
    "ImageInvert": lambda inputs, _: ([ImageOps.invert(picture) for picture in inputs["image"]],),
    "ImageScale": _image_scale,
    "KSampler": _sampled,
    "LoadImage": _load_image,
    "RepeatLatentBatch": _repeated,
    "SolidMask": _solid_mask,
    "UNETLoader": lambda _, __: (None,),
    "VAEDecode": lambda inputs, _: (inputs["samples"],),
    "VAEEncode": _encoded,
    "VAEEncodeForInpaint": _encoded,
}
