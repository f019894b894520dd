"""Workflows of the operator's own, side by side: each is a model, and takes what its nodes take."""

import copy
import json

import pytest

from app.simulator.comfyui.classes import CHECKPOINTS
from tests.acceptance.test_edits import b64, png
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

JOBS = "/api/v1/jobs"
SKETCH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINTS[1]}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ""}},
    "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 96, "height": 64, "batch_size": 1}},
    "4": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["1", 0],
            "positive": ["2", 0],
            "negative": ["2", 0],
            "latent_image": ["3", 0],
            "seed": 0,
            "steps": 3,
            "cfg": 4,
            "sampler_name": "euler",
            "scheduler": "karras",
            "denoise": 1.0,
        },
    },
    "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
    "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "sketch"}},
}
SKETCH_NODES = [
    {"type": "model", "node_ids": ["1"], "key": "ckpt_name"},
    {"type": "prompt", "node_ids": ["2"], "key": "text"},
    {"type": "seed", "node_ids": ["4"]},
]
INVERT = {
    "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "invert"}},
}
INVERT_NODES = [{"type": "image", "node_ids": ["1"]}]


@pytest.fixture(scope="module")
def gateway(shared_simulator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("workflows")
    for name, graph, nodes in (("sketch-1", SKETCH, SKETCH_NODES), ("invert", INVERT, INVERT_NODES)):
        (folder / f"{name}.json").write_text(json.dumps(graph))
        (folder / f"{name}.nodes.json").write_text(json.dumps(nodes))
    settings = {"COMFYUI_BASE_URL": shared_simulator.url, "COMFYUI_WORKFLOWS": str(folder)}
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, **settings) as running:
        yield running


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def ended(client, **asked):
    made = client.post(JOBS, json={"provider": "comfyui", **asked})
    assert made.status_code == 202, made.text
    job = client.get(f"{JOBS}/{made.json()['data']['id']}?wait=60&until=terminal").json()["data"]
    assert job["status"] == "succeeded", job
    return job


def graph_of(simulator, prompt):
    (call,) = simulator.bench.calls(prompt)
    return call["fields"]["graph"]


def test_each_workflow_is_listed_as_a_model_of_comfyui(client):
    models = {model["id"]: model["owned_by"] for model in client.get("/v1/models").json()["data"]}

    assert {"sketch-1": "comfyui", "invert": "comfyui"}.items() <= models.items()


def test_a_workflow_is_run_as_it_is_but_for_the_fields_that_have_a_place_in_it(client, shared_simulator):
    job = ended(client, model="sketch-1", prompt="A sketched fox", seed=7, steps=30, size="512x512")

    wanted = copy.deepcopy(SKETCH)
    wanted["2"]["inputs"]["text"], wanted["4"]["inputs"]["seed"] = "A sketched fox", 7
    assert graph_of(shared_simulator, "sketched fox") == wanted
    assert (job["result"]["width"], job["result"]["height"]) == (96, 64)
    assert sorted(warning["field"] for warning in job["warnings"]) == ["size", "steps"]


def test_several_pictures_of_a_workflow_that_makes_one_are_as_many_runs(client, shared_simulator):
    ended(client, model="sketch-1", prompt="Two drawn foxes", n=2)

    first, second = (call["fields"]["graph"] for call in shared_simulator.bench.calls("drawn foxes"))
    assert first["4"]["inputs"]["seed"] != second["4"]["inputs"]["seed"]


def test_a_face_that_knows_only_models_finds_a_workflow_by_its_name(client, shared_simulator):
    told = client.post("/v1/images/generations", json={"model": "sketch-1", "prompt": "A named fox"})

    assert told.status_code == 200, told.text
    assert graph_of(shared_simulator, "named fox")["6"]["inputs"]["filename_prefix"] == "sketch"


def test_open_webui_has_a_workflow_among_its_models_and_sends_it_only_what_was_asked_for(client):
    models = [model["id"] for model in client.get("/api/v1/images/models").json()]

    answer = client.post("/api/v1/images/generations", json={"model": "sketch-1", "prompt": "A fox of Open WebUI's"})

    assert {"sketch-1", "invert"} <= set(models)
    assert answer.status_code == 200, answer.text
    assert "warnings" not in answer.json()[0]


def test_a_workflow_takes_pictures_where_a_node_takes_them_and_nowhere_else(client):
    source = {"b64": b64(png((64, 48))), "mimeType": "image/png"}
    picture = {"referenceImage": source, "prompt": "Turn it round"}

    refused = client.post(JOBS, json={"provider": "comfyui", "model": "sketch-1", **picture})
    job = ended(client, model="invert", **picture)

    assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (400, "referenceImage")
    assert (job["result"]["width"], job["result"]["height"]) == (64, 48)


def test_a_checkpoint_is_drawn_by_our_own_graph_beside_them(client, shared_simulator):
    ended(client, model=CHECKPOINTS[0], prompt="A plain fox", size="64x64")

    assert graph_of(shared_simulator, "plain fox")["9"]["inputs"]["filename_prefix"] == "darkroom"
