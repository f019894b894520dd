"""webuiapi, unchanged: `webui.py HOST PORT` says as JSON what it found."""

import json
import sys
import threading
import time

import webuiapi
from PIL import Image

host, port = sys.argv[1:]
api = webuiapi.WebUIApi(host, int(port), username="user", password="right")
names = api.util_get_model_names()
api.util_set_model(names[1], find_closest=False)
both = api.txt2img(prompt="A fox", batch_size=2, width=64, height=48, steps=4, seed=7)
source, mask = Image.new("RGB", (64, 48), "red"), Image.new("L", (64, 48))
mask.paste(255, (0, 0, 32, 48))
(edited,) = api.img2img(images=[source], mask_image=mask, prompt="A hare", width=64, height=48, steps=4).images
found = {
    "models": names,
    "model": api.util_get_current_model(),
    "samplers": api.util_get_sampler_names(),
    "schedulers": api.util_get_scheduler_names(),
    "sizes": [picture.size for picture in both.images],
    "used": both.info["sd_model_name"],
    "kept": edited.convert("RGB").crop((32, 0, 64, 48)).tobytes() == source.crop((32, 0, 64, 48)).tobytes(),
    "idle": api.get_progress()["progress"],
}

results = []
slow = threading.Thread(target=lambda: results.append(api.txt2img(prompt="[delay=60] A slow fox", width=64, height=48)))
slow.start()
while not api.get_progress()["progress"]:
    time.sleep(0.05)
api.interrupt()
slow.join()
found["interrupted"] = len(results[0].images)

try:
    webuiapi.WebUIApi(host, int(port), username="user", password="wrong").txt2img(prompt="A fox")
except RuntimeError as error:
    found["refused"] = error.args[0]
json.dump(found, sys.stdout)
