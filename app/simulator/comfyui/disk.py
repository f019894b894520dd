"""The server's folders: what was uploaded, what was saved and what was only shown."""

from __future__ import annotations

import io
import json
import posixpath
import random
import re
import string
from typing import Final

from PIL import Image, PngImagePlugin

from app.simulator.comfyui.graphs import Graph

FOLDERS: Final = ("input", "output", "temp")
_LETTERS: Final = random.SystemRandom()


class Outside(Exception):
    """A name that leaves its folder."""


class Disk:
    """Files by folder, subfolder and name."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.temporary = ""
        self.start_again()

    def start_again(self) -> None:
        """What was only shown is gone; the rest stays."""
        self.files = {place: data for place, data in self.files.items() if place[0] != "temp"}
        self.temporary = "ComfyUI_temp_" + "".join(_LETTERS.choices(string.ascii_lowercase, k=5))

    def uploads(self) -> list[str]:
        """The names by which a graph finds them."""
        return [posixpath.join(subfolder, name) for folder, subfolder, name in self.files if folder == "input"]

    def uploaded(self, name: str) -> bytes:
        """The bytes of one."""
        subfolder, name = posixpath.split(name)
        return self.files["input", subfolder, name]

    def upload(self, folder: str, subfolder: str, name: str, data: bytes, *, overwrite: bool) -> str:
        """Keeps the bytes unseen; the same name with other bytes becomes another, unless it is to be overwritten."""
        if _leaves(posixpath.join(subfolder, name)):
            raise Outside
        stem, end = posixpath.splitext(name)
        number = 0
        while not overwrite and self.files.get((folder, subfolder, name), data) != data:
            number += 1
            name = f"{stem} ({number}){end}"
        self.files[folder, subfolder, name] = data
        return name

    def save(self, folder: str, prefix: str, pictures: list[Image.Image], graph: Graph) -> list[dict[str, str]]:
        """As ComfyUI saves them: with the whole graph, prompt and all, in each file."""
        if _leaves(prefix):
            raise Outside
        subfolder, stem = posixpath.split(prefix)
        made = []
        for picture in pictures:
            name = f"{stem}_{self._counter(folder, subfolder, stem):05}_.png"
            self.files[folder, subfolder, name] = _with_graph(picture, graph)
            made.append({"filename": name, "subfolder": subfolder, "type": folder})
        return made

    def _counter(self, folder: str, subfolder: str, stem: str) -> int:
        counted = re.compile(re.escape(stem) + r"_(\d{5})_\.png")
        found = (counted.fullmatch(name) for where, below, name in self.files if (where, below) == (folder, subfolder))
        return 1 + max((int(each[1]) for each in found if each), default=0)


def _leaves(path: str) -> bool:
    return path.startswith("/") or posixpath.normpath(path).startswith("..")


def _with_graph(picture: Image.Image, graph: Graph) -> bytes:
    told, out = PngImagePlugin.PngInfo(), io.BytesIO()
    told.add_text("prompt", json.dumps(graph))
    picture.save(out, "png", pnginfo=told)
    return out.getvalue()
