"""ComfyUI as a provider, against a server that answers as recordings of a real one do."""

import asyncio
import io

import httpx
import pytest
from PIL import Image

from app.simulator.comfyui.classes import CHECKPOINTS
from app.simulator.draw import draw
from jobs.catalog.families import Catalog
from jobs.errors import ConfigurationError, Outcome, ProviderError
from jobs.model.picture import Picture
from jobs.model.request import ImageRequest
from jobs.providers.base import Accepted, Order, PartialImage, Progressed
from jobs.providers.comfyui.comfyui import ComfyUI
from jobs.providers.comfyui.workflow import built_in
from jobs.providers.offers import offered
from jobs.settings import Settings
from tests.neighbours.scripted_provider import response, running_far_end
from tests.neighbours.tcp_proxy import running_relay

pytestmark = pytest.mark.anyio

MODEL = CHECKPOINTS[0]
FAILING = """{"1": {"class_type": "DrFail", "inputs": {}},
  "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}}"""
IN_PART = """{"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 0}},
  "2": {"class_type": "DrSleep", "inputs": {"image": ["1", 0], "seconds": 100, "steps": 1000, "seed": 0}},
  "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
  "4": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}"""
"""A server runs the first output of it, and leaves out the second."""
SOURCE = Picture(data=draw("a mug", "beef", 64, 48), media_type="image/png")


@pytest.fixture
async def comfyui(simulator):
    async with opened(simulator.url) as provider:
        yield provider


class opened:  # noqa: N801  # it is used as a function is
    def __init__(self, url, workflow="", nodes=""):
        self.provider = ComfyUI(base_url=url, api_key="", workflow=workflow, nodes=nodes)

    async def __aenter__(self):
        await self.provider.open()
        return self.provider

    async def __aexit__(self, *_):
        await self.provider.close()


def order(prompt="A fox", n=1, images=(), mask=None, **request):
    asked = ImageRequest(**{"provider": "comfyui", "model": MODEL, "prompt": prompt, **request})
    family = Catalog.load().family("comfyui", asked.model)
    return Order(request=asked, family=family, n=n, images=images, mask=mask, timeout=60)


async def made(provider, wanted):
    return [step async for step in provider.generate(wanted)]


def of(kind, steps):
    return [step for step in steps if isinstance(step, kind)]


def nodes_of(call):
    return {each["class_type"]: each["inputs"] for each in call["fields"]["graph"].values()}


async def begun(provider, wanted, steps):
    async for step in provider.generate(wanted):
        steps.append(step)


def queue_looks(far):
    return [asked for asked in far.asked if asked.path == "/queue"]


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # another loop's state
            await asyncio.sleep(0.01)


async def test_a_run_tells_how_far_it_is_shows_itself_and_ends_with_its_pictures(comfyui, simulator):
    wanted = order("[delay=0.3] A fox", n=2, size="128x64", negative_prompt="Text", seed=7, steps=20, partial_images=3)

    steps = await made(comfyui, wanted)

    (call,) = simulator.bench.calls()
    nodes = nodes_of(call)
    shares = [step.value for step in of(Progressed, steps)]
    pictures = of(Picture, steps)
    assert [step.handle for step in of(Accepted, steps[:1])] == [call["fields"]["prompt_id"]]
    assert (nodes["KSampler"]["steps"], nodes["KSampler"]["seed"]) == (20, 7)
    assert nodes["EmptyLatentImage"] == {"width": 128, "height": 64, "batch_size": 2}
    assert shares == sorted(set(shares))
    assert [(step.step, step.steps) for step in of(Progressed, steps)][-1] == (20, 20)
    assert [step.place for step in of(PartialImage, steps)] == [0, 1, 2]
    assert [Image.open(io.BytesIO(picture.data)).size for picture in pictures] == [(128, 64)] * 2
    assert [picture.index for picture in pictures] == [0, 1]


async def test_the_graph_that_the_server_writes_into_a_picture_is_not_passed_on(comfyui):
    (picture,) = of(Picture, await made(comfyui, order("A secret fox", size="64x64")))

    read = Image.open(io.BytesIO(picture.data))
    read.load()
    assert read.text == {}
    assert b"secret" not in picture.data


@pytest.mark.parametrize("mask", [None, SOURCE], ids=["edit", "inpaint"])
async def test_pictures_and_masks_are_uploaded_and_the_graph_names_them(comfyui, simulator, mask):
    (picture,) = of(Picture, await made(comfyui, order(images=(SOURCE,), mask=mask)))

    (call,) = simulator.bench.calls()
    loads = [each["inputs"]["image"] for each in call["fields"]["graph"].values() if each["class_type"] == "LoadImage"]
    assert Image.open(io.BytesIO(picture.data)).size == (64, 48)
    assert len(set(loads)) == (1 if mask is None else 2)
    assert all(call["fields"]["prompt_id"] in name for name in loads)


async def test_a_graph_that_is_refused_is_the_callers_to_mend_and_names_the_node(comfyui):
    with pytest.raises(ProviderError, match=r"node 4 .CheckpointLoaderSimple.: Value not in list") as refused:
        await made(comfyui, order(model="no-such-model"))

    assert refused.value.outcome is Outcome.REFUSED


async def test_a_failing_node_is_named_and_nothing_else_of_the_server(simulator):
    async with opened(simulator.url, FAILING) as provider:
        with pytest.raises(ProviderError) as failed:
            await made(provider, order())

    assert failed.value.error.message == "node 1 (DrFail) failed: RuntimeError"


async def test_a_graph_of_which_a_part_would_be_run_is_refused_and_that_part_is_canceled(simulator):
    async with opened(simulator.url, IN_PART) as provider, httpx.AsyncClient(base_url=simulator.url) as server:
        with pytest.raises(ProviderError, match=r"node 4 .SaveImage.: Required input is missing") as refused:
            await made(provider, order())

        async with asyncio.timeout(30):
            while (await server.get("/prompt")).json()["exec_info"]["queue_remaining"]:
                pass
    assert refused.value.outcome is Outcome.REFUSED
    assert len(simulator.bench.calls()) == 1


async def test_a_run_that_somebody_else_interrupts_is_the_servers_trouble(comfyui, simulator):
    steps = []
    run = asyncio.create_task(begun(comfyui, order("[delay=4] A fox", size="64x64"), steps))
    await until(lambda: of(Progressed, steps))
    async with httpx.AsyncClient(base_url=simulator.url) as stranger:
        await stranger.post("/interrupt")

    with pytest.raises(ProviderError) as interrupted:
        await run

    assert interrupted.value.error.details["reason"] == "provider_interrupted"
    assert len(simulator.bench.calls()) == 1


@pytest.mark.parametrize("seconds", [0, 3], ids=["its socket drops", "it is away as the run ends"])
async def test_a_server_that_is_out_of_reach_in_a_run_costs_no_more_than_its_news(simulator, seconds):
    with running_relay(int(simulator.url.rpartition(":")[2])) as relay:
        async with opened(f"http://127.0.0.1:{relay.port}") as provider:
            steps = []
            run = asyncio.create_task(begun(provider, order("[delay=1] A fox", size="64x64"), steps))
            await until(lambda: of(Progressed, steps))
            relay.shut()
            await asyncio.sleep(seconds)
            relay.open()
            await run

    assert len(of(Picture, steps)) == 1
    assert len(simulator.bench.calls()) == 1


async def test_a_proxy_whose_server_is_away_for_a_while_costs_neither_the_run_nor_another(simulator):
    with running_relay(int(simulator.url.rpartition(":")[2])) as relay:
        async with opened(f"http://127.0.0.1:{relay.port}") as provider, running_far_end(response(503)) as away:
            steps = []
            run = asyncio.create_task(begun(provider, order("[delay=1] A fox", size="64x64"), steps))
            await until(lambda: of(Progressed, steps))
            there, relay.target = relay.target, int(away.url.rpartition(":")[2])
            relay.shut()
            relay.open()
            for reply in (response(502), response(500)):
                looks = len(queue_looks(away))
                await until(lambda looks=looks: len(queue_looks(away)) > looks or run.done())
                away.reply = reply
            relay.target = there
            await run

    assert len(of(Picture, steps)) == 1
    assert len(simulator.bench.calls()) == 1


async def test_a_picture_that_could_not_be_uploaded_has_cost_no_run():
    async with running_far_end(response(502)) as away, opened(away.url) as provider:
        with pytest.raises(ProviderError) as unsent:
            await made(provider, order(images=(SOURCE,)))

    assert unsent.value.outcome is Outcome.NOT_SENT
    assert [asked.path for asked in away.asked if asked.method == "POST"] == ["/upload/image"]


async def test_a_server_that_was_started_again_is_asked_for_the_same_run_again(comfyui, simulator):
    steps = []
    run = asyncio.create_task(begun(comfyui, order("[delay=1] A fox", size="64x64"), steps))
    await until(lambda: of(Progressed, steps))
    async with httpx.AsyncClient() as admin:
        await admin.post(f"{simulator.url}/_simulator/comfyui/restart")
    await run

    calls = simulator.bench.calls()
    assert len(of(Picture, steps)) == 1
    assert len(calls) == 2
    assert len({call["fields"]["prompt_id"] for call in calls}) == 1


async def test_a_prompt_whose_answer_was_lost_is_not_posted_again(comfyui, simulator):
    steps = await made(comfyui, order("[dropx1] A fox", size="64x64"))

    assert len(of(Picture, steps)) == 1
    assert len(simulator.bench.calls()) == 1


async def test_who_asks_again_by_the_handle_gets_the_run_that_is_there(comfyui, simulator):
    wanted, steps = order("[delay=1] A fox", size="64x64"), []
    run = asyncio.create_task(begun(comfyui, wanted, steps))
    await until(lambda: of(Progressed, steps))
    run.cancel()

    again = [step async for step in comfyui.resume(wanted, steps[0].handle)]

    assert len(of(Picture, again)) == 1
    assert len(simulator.bench.calls()) == 1


@pytest.mark.parametrize("version", ["0.33.0", "0.3.64"])
@pytest.mark.parametrize("place", ["running", "pending"])
async def test_a_cancel_ends_the_run_that_it_names_and_no_other(comfyui, simulator, place, version):
    first, second = [], []
    async with httpx.AsyncClient(base_url=simulator.url) as server, opened(simulator.url) as stranger:
        await server.post("/_simulator/comfyui/restart", json={"version": version})
        seconds = (6, 0.3) if place == "running" else (1, 6)
        names = [f"[delay={each}] {name}" for each, name in zip(seconds, ("first", "second"), strict=True)]
        runs = [asyncio.create_task(begun(comfyui, order(names[0], size="64x64"), first))]
        await until(lambda: of(Accepted, first) and len(simulator.bench.calls()) == 1)
        runs.append(asyncio.create_task(begun(stranger, order(names[1], size="64x64"), second)))
        await until(lambda: len(simulator.bench.calls()) == 2)
        provider, ours, theirs = (comfyui, first, second) if place == "running" else (stranger, second, first)

        assert await provider.cancel(ours[0].handle)

        ends = await asyncio.gather(*runs, return_exceptions=True)
    assert len(of(Picture, theirs)) == 1
    assert of(Picture, ours) == []
    assert [end.outcome for end in ends if end is not None] == [Outcome.REFUSED]


async def test_a_cancel_without_an_id_reaches_nobody(comfyui):
    with pytest.raises(ValueError, match="an id"):
        await comfyui.cancel("")


@pytest.mark.parametrize(
    ("workflow", "nodes", "words"),
    [
        ("{", "", "COMFYUI_WORKFLOW: "),
        ("/no/such/file.json", "", "COMFYUI_WORKFLOW: "),
        ('{"1": {"inputs": {}}}', "", "Save .API Format."),
        (FAILING, '[{"type": "prompt", "node_ids": ["9"]}]', "COMFYUI_WORKFLOW_NODES: the workflow has no node 9"),
    ],
)
def test_a_workflow_that_cannot_be_used_is_told_by_its_variable(workflow, nodes, words):
    with pytest.raises(ConfigurationError, match=words):
        ComfyUI(base_url="http://127.0.0.1", api_key="", workflow=workflow, nodes=nodes)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "COMFYUI_WORKFLOWS: .* is no folder"),
        ({"fox.json": FAILING}, "COMFYUI_WORKFLOWS: fox.nodes.json: "),
        ({"fox.json": "{", "fox.nodes.json": "[]"}, "COMFYUI_WORKFLOWS: fox.json: "),
        ({"a fox.json": FAILING, "a fox.nodes.json": "[]"}, "COMFYUI_WORKFLOWS: a fox.json: 'a fox' is no name"),
        (
            {"fox.json": FAILING, "fox.nodes.json": '[{"type": "prompt", "node_ids": ["9"]}]'},
            "COMFYUI_WORKFLOWS: fox.nodes.json: the workflow has no node 9",
        ),
    ],
)
def test_a_folder_of_workflows_that_cannot_be_used_is_told_by_the_file(tmp_path, files, words):
    folder = tmp_path / "workflows"
    for name, text in files.items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    with pytest.raises(ConfigurationError, match=words):
        offered(Settings(COMFYUI_BASE_URL="http://127.0.0.1", COMFYUI_WORKFLOWS=str(folder)))


@pytest.mark.parametrize("name", ["text", "edit", "inpaint"])
def test_our_own_graphs_hang_together(name):
    workflow = built_in(name)

    links = [
        value[0] for node in workflow.graph.values() for value in node["inputs"].values() if isinstance(value, list)
    ]
    assert {node_id for mapping in workflow.nodes for node_id in mapping.node_ids} | set(links) <= set(workflow.graph)
    assert "SaveImage" in {node["class_type"] for node in workflow.graph.values()}
