"""What people do with the official client (any version), against the gateway on stdin; on stdout what came of it."""

import base64
import hashlib
import io
import json
import sys

import openai
from openai import AzureOpenAI, OpenAI

TOLD = json.load(sys.stdin)
MODEL = "gpt-image-2"
SMALL = {"model": MODEL, "size": "256x256"}
PICTURE, MASK = (base64.b64decode(TOLD[name]) for name in ("picture", "mask"))


def client(key=TOLD["key"]):
    return OpenAI(base_url=f"{TOLD['url']}/v1", api_key=key, max_retries=0)


def azure():
    return AzureOpenAI(azure_endpoint=TOLD["url"], api_key=TOLD["key"], api_version="2025-04-01-preview", max_retries=0)


def digest(text):
    return hashlib.sha256(base64.b64decode(text, validate=True)).hexdigest()


def pictures(response):
    return [digest(image.b64_json) for image in response.data]


def urls(response):
    return [image.url for image in response.data]


def events(stream):
    return [
        {"type": e.type, "index": getattr(e, "partial_image_index", None), "sha256": digest(e.b64_json)} for e in stream
    ]


def error(ask):
    try:
        ask()
    except openai.APIStatusError as refused:
        return {
            "class": type(refused).__name__,
            "status": refused.status_code,
            "code": refused.code,
            "param": refused.param,
        }
    return None


def main():
    asking, images = client(), client().images
    named = ("a.png", PICTURE, "image/png")
    client(TOLD["limited"]).models.list()
    found = {
        "version": openai.__version__,
        "generate": pictures(images.generate(**SMALL, prompt="walk: four", n=4)),
        "url": urls(images.generate(**SMALL, prompt="walk: by address", response_format="url")),
        "edit one": pictures(images.edit(**SMALL, prompt="walk: edit one", image=io.BytesIO(PICTURE))),
        "edit three": urls(
            images.edit(**SMALL, prompt="walk: edit three", image=[named, named, named], response_format="url")
        ),
        "edit masked": pictures(
            images.edit(model=MODEL, prompt="walk: edit masked", image=named, mask=("m.png", MASK, "image/png"))
        ),
        "stream": events(images.generate(**SMALL, prompt="walk: stream [delay=0.9]", stream=True, partial_images=2)),
        "edit stream": events(
            images.edit(**SMALL, prompt="walk: edit stream [delay=0.9]", image=named, stream=True, partial_images=2)
        ),
        "azure": pictures(azure().images.generate(**SMALL, prompt="walk: azure")),
        "azure edit": pictures(azure().images.edit(**SMALL, prompt="walk: azure edit", image=[named, named])),
        "models": [model.id for model in asking.models.list()],
        "model": asking.models.retrieve(MODEL).id,
        "errors": {
            "bad request": error(lambda: images.generate(model=MODEL, prompt="walk", size="3x3")),
            "policy": error(lambda: images.generate(**SMALL, prompt="walk [refuse]")),
            "auth": error(lambda: client("wrong").images.generate(**SMALL, prompt="walk")),
            "permission": error(lambda: client(TOLD["narrow"]).images.generate(**SMALL, prompt="walk")),
            "not found": error(lambda: images.generate(model="no-such-model", prompt="walk")),
            "rate limit": error(lambda: client(TOLD["limited"]).images.generate(**SMALL, prompt="walk")),
            "server": error(lambda: images.generate(**SMALL, prompt="walk [500]")),
            "stream": error(lambda: list(images.generate(**SMALL, prompt="walk [refuse] stream", stream=True))),
        },
    }
    json.dump(found, sys.stdout)


main()
