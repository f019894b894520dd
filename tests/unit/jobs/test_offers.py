"""Which workflows are models, and what each of them takes."""

import json
from pathlib import Path

import pytest

from jobs.providers.offers import offered
from jobs.settings import Settings, variables

GRAPH = {"1": {"class_type": "LoadImage", "inputs": {}}, "2": {"class_type": "KSampler", "inputs": {}}}
NODES = [
    {"type": "image", "node_ids": ["1"]},
    {"type": "width", "node_ids": ["2"]},
    {"type": "height", "node_ids": ["2"]},
    {"type": "n", "node_ids": ["2"]},
]
TWO_SERVERS = '[comfyui.tower]\nbase_url = "http://tower.example"\n[comfyui.rack]\nbase_url = "http://rack.example"\n'


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("workflows").mkdir()
    Path("workflows/fox.json").write_text(json.dumps(GRAPH))
    Path("workflows/fox.nodes.json").write_text(json.dumps(NODES))
    Path("providers.toml").write_text(TWO_SERVERS)


def catalog(**told):
    return offered(Settings.load({"COMFYUI_WORKFLOWS": "workflows", **told}))


def test_a_workflow_takes_what_its_nodes_take():
    row = catalog(COMFYUI_BASE_URL="http://127.0.0.1").family("comfyui", "fox")

    assert (row.edit, row.mask, row.max_references, row.n_per_call) == (True, False, 1, 4)
    assert {"seed", "steps", "negativePrompt"} <= set(row.ignored)
    assert "size" not in row.ignored


def test_a_workflow_is_a_model_of_every_server_of_the_file_of_accounts():
    assert catalog(DARKROOM_PROVIDERS="providers.toml").knows("comfyui", "fox")


def test_a_row_of_the_operators_own_is_left_as_it_is():
    Path("models.toml").write_text('[[family]]\nname = "ours"\nproviders = ["comfyui"]\nmatch = ["fox", "*"]\n')

    row = catalog(COMFYUI_BASE_URL="http://127.0.0.1", DARKROOM_MODELS="models.toml").family("comfyui", "fox")

    assert row.name == "ours"


def test_without_a_server_no_workflow_is_a_model():
    assert not catalog().knows("comfyui", "fox")


def test_a_table_without_a_row_for_comfyui_offers_nothing_of_it():
    Path("others.toml").write_text('[[family]]\nname = "ours"\nproviders = ["openai"]\nmatch = ["*"]\n')

    assert "comfyui" not in catalog(COMFYUI_BASE_URL="http://127.0.0.1", DARKROOM_MODELS="others.toml").providers
