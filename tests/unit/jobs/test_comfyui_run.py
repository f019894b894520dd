"""What is heard of a run in the frames that a real ComfyUI sent."""

import json
import struct

import pytest

from jobs.providers.base import PartialImage, Progressed
from jobs.providers.comfyui.run import Run
from tests.neighbours.comfyui_recording import recorded

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01"


def asked(name):
    """The prompts of a recording, and their ids, in the order of asking."""
    steps = [step for step in recorded(name)["steps"] if step["kind"] == "http"]
    posts = [step for step in steps if step["request"]["path"] == "/prompt" and step["request"]["method"] == "POST"]
    return [(step["response"]["json"]["prompt_id"], step["request"]["json"]["prompt"]) for step in posts]


def frames(name, *sockets):
    """As they came on these sockets; of a picture its first bytes stand for all."""
    for step in recorded(name)["steps"]:
        if step["kind"] == "ws_recv" and step["socket"] in sockets:
            yield sent(step["frame"])


def sent(frame):
    if "event" not in frame:
        return json.dumps(frame)
    if frame["event"] == 1:
        return struct.pack(">II", 1, frame["format"]) + JPEG
    told = json.dumps(frame["metadata"]).encode()
    return struct.pack(">II", 4, len(told)) + told + JPEG


def heard(run, name, *sockets):
    return [step for frame in frames(name, *sockets) if (step := run.hear(frame)) is not None]


def test_progress_is_that_of_all_nodes_and_of_their_steps():
    (prompt_id, graph), run = asked("a-run")[0], None
    run = Run(prompt_id, len(graph), 0)

    steps = heard(run, "a-run", "A")

    assert [step.step for step in steps if step.steps == 20] == list(range(1, 21))
    assert [step.value for step in steps] == pytest.approx([(4 + step / 20) / 6 for step in range(1, 21)])
    assert run.over


@pytest.mark.parametrize("place", [0, 1], ids=["all of it", "all but one node"])
def test_what_was_in_the_servers_cache_is_over_without_progress(place):
    prompt_id, graph = asked("b-cached")[place]
    run = Run(prompt_id, len(graph), 0)

    assert heard(run, "b-cached", "A") == []
    assert run.over


@pytest.mark.parametrize("name", ["e-error", "f1-cancel-interrupt", "f3-interrupt-bodies"])
def test_a_run_that_failed_or_was_interrupted_is_over(name):
    prompt_id, graph = asked(name)[0]
    run = Run(prompt_id, len(graph), 0)

    heard(run, name, "A")

    assert run.over


def test_nothing_is_heard_of_other_clients_runs_or_of_those_that_are_told_to_everybody():
    (_, _), (other, graph), (nobodys, _), *_ = asked("h-two-clients")

    for prompt_id in (other, nobodys):
        run = Run(prompt_id, len(graph), 3)
        assert [step for step in heard(run, "h-two-clients", "A") if isinstance(step, PartialImage)] == []
        assert run.over is False


def test_a_socket_that_was_opened_again_goes_on_where_the_run_is():
    prompt_id, graph = asked("g-reconnect")[0]
    run = Run(prompt_id, len(graph), 0)

    steps = heard(run, "g-reconnect", "A1", "A2")

    assert [step.step for step in steps] == [1, 2, 7, 8, 9, 10, 11, 12]
    assert [step.value for step in steps] == sorted(step.value for step in steps)
    assert run.over


@pytest.mark.parametrize(("socket", "shown"), [("plain", 0), ("flagged", 2), ("late", 0)])
def test_a_preview_is_taken_when_it_says_whose_it_is(socket, shown):
    place = {"plain": 0, "flagged": 2, "late": 4}[socket]
    prompt_id, graph = asked("j-previews")[place]
    run = Run(prompt_id, len(graph), 2)

    steps = heard(run, "j-previews", socket)

    assert [step.place for step in steps if isinstance(step, PartialImage)] == list(range(shown))
    assert len([step for step in steps if isinstance(step, Progressed)]) == (2 if socket == "late" else 3)
