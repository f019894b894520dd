"""Our ComfyUI answers what a real one was asked as that one did."""

import httpx
import pytest

from tests.neighbours.comfyui_recording import Hand, Replay, picture_file, recorded

pytestmark = pytest.mark.anyio

PLAYED_TOGETHER = {"a-run": ("a-run", "b-cached"), "f1-cancel-interrupt": ("f1-cancel-interrupt", "f2-cancel-jobs")}
"""The second goes on with the first one's sockets."""
EMPTY = {"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 3368550}}}
PICTURE = {**EMPTY, "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}}
WARM = {"f1-cancel-interrupt", "g-reconnect", "h-two-clients", "j-previews"}
"""Recorded when the server had made that picture just before."""
ALONE = (
    "a-run",
    "c-prompt-ids",
    "d-validation",
    "e-error",
    "f1-cancel-interrupt",
    "f3-interrupt-bodies",
    "g-reconnect",
    "h-two-clients",
    "i-restart",
    "j-previews",
    "k-origin",
    "l-outputs-view-upload",
    "m-big-unicode",
    "n-info",
    "old-server",
)


@pytest.mark.parametrize("name", ALONE)
async def test_what_a_recorded_server_was_asked_is_answered_as_it_answered(name, simulator):
    hand = Hand()
    simulator.bench.clock = hand
    recording = recorded(name)
    replay = Replay(simulator.url, hand)
    await begin(simulator.url, name, recording["server"])

    for each in PLAYED_TOGETHER.get(name, (name,)):
        await replay.play(recorded(each))

    await replay.close()
    assert not replay.differences, "\n".join(replay.differences)


async def begin(url, name, version):
    """A server with no model, as it was when the recording began."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        await client.post("/_simulator/comfyui/restart", json={"version": version, "checkpoints": []})
        if name in WARM:
            await client.post("/prompt", json={"prompt": PICTURE})
            while (await client.get("/prompt")).json()["exec_info"]["queue_remaining"]:
                pass
        if name == "l-outputs-view-upload":
            for path, told in (
                ("image", "<137 bytes, filename='same.png', image/png>"),
                ("image", "<200 bytes, filename='same.png', image/png>"),
                ("mask", "<200 bytes, filename='mask.png', image/png>"),
            ):
                form = {"original_ref": '{"filename": "same.png"}'}
                await client.post(f"/upload/{path}", files={"image": picture_file(told)}, data=form)
