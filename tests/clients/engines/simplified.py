"""comfy-api-simplified, unchanged: `simplified.py URL PICTURE` says as JSON what it found."""

import io
import json
import sys

from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
from comfy_api_simplified.exceptions import ComfyApiError
from PIL import Image

url, picture = sys.argv[1:]
api = ComfyApiWrapper(url)


def graph(name, middle):
    """A picture that was uploaded, and saved again when it has gone through the node `middle`."""
    return ComfyWorkflowWrapper(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": name}, "_meta": {"title": "Load"}},
            "2": {"class_type": middle, "inputs": {"image": ["1", 0]}, "_meta": {"title": "Middle"}},
            "3": {
                "class_type": "SaveImage",
                "inputs": {"images": ["2", 0], "filename_prefix": "x"},
                "_meta": {"title": "Save"},
            },
        }
    )


uploaded = api.upload_image(picture, "darkroom")
name = f"{uploaded['subfolder']}/{uploaded['name']}"
slow = graph(name, "DrSleep")
for parameter, value in (("seconds", 1.0), ("steps", 4), ("seed", 1)):
    slow.set_node_param("Middle", parameter, value)
made = api.queue_and_wait_images(slow, "Save")

found = {
    "name": name,
    "files": list(made),
    "sizes": [Image.open(io.BytesIO(data)).size for data in made.values()],
    "queue": api.get_queue(),
    "version": api.get_system_stats()["system"]["comfyui_version"],
    "checkpoints": api.get_object_info("CheckpointLoaderSimple")["CheckpointLoaderSimple"]["input"]["required"][
        "ckpt_name"
    ][0],
    "embeddings": api.get_embeddings(),
}
try:
    api.queue_prompt(graph("no-such.png", "ImageInvert"))
except ComfyApiError as error:
    found["refused"] = str(error)
api.interrupt()
json.dump(found, sys.stdout)
