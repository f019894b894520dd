"""comfy-sdk, unchanged, by way of comfy-api-proxy: `sdk.py PROXY-URL PICTURE` says as JSON what it found."""

import io
import json
import os
import sys

from comfy_sdk import Comfy
from comfy_sdk.exceptions import ComfyError
from PIL import Image

os.environ["COMFY_BASE_URL"], picture = sys.argv[1:]


def graph(middle, **inputs):
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "x"}},
        "2": {"class_type": middle, "inputs": {"image": ["1", 0], **inputs}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "sdk"}},
    }


def started(client, middle, **inputs):
    workflow = client.workflows.from_json(graph(middle, **inputs))
    workflow.set_input("1", "image", client.assets.from_file(picture))
    return client.submit(workflow)


with Comfy() as client:
    job = started(client, "DrSleep", seconds=1.0, steps=4, seed=2)
    events = [type(event).__name__ for event in job.events()]
    job.wait(60)
    (output,) = job.get_outputs("3")
    found = {"status": job.status, "events": events, "size": Image.open(io.BytesIO(output.to_bytes())).size}

    failing = started(client, "DrFail", message="no")
    try:
        failing.wait(60).result()
    except ComfyError as error:
        found["failed"] = type(error).__name__
    failing.refresh()
    found["failing"] = failing.status

    slow = started(client, "DrSleep", seconds=60.0, steps=300, seed=3)
    slow.cancel()
    try:
        slow.wait(60)
    except ComfyError:
        slow.refresh()
    found["canceled"] = slow.status
json.dump(found, sys.stdout)
