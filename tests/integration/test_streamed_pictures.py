"""A call that streams previews, through the real SDK: what arrives, what is read, and what a break means."""

import asyncio
import json
import time

import pytest

from app.simulator.draw import draw
from jobs.errors import Outcome
from jobs.model.picture import Picture, Usage
from jobs.providers.base import Answered, PartialImage
from tests.neighbours.scripted_provider import CUT, OPENAI, b64, failed, failure, opened, order, response, success, told

pytestmark = pytest.mark.anyio

PNG = draw("a mug", "beef", 64, 64, "png")
ROUGH = draw("a mug", "cafe", 32, 32, "jpeg")
A_PNG = Picture(data=PNG, media_type="image/png")
USAGE = {"input_tokens": 5, "output_tokens": 408, "total_tokens": 413}
POLICY = {"type": "image_generation_user_error", "code": "moderation_blocked", "message": "no", "param": None}
BROKEN = {"type": "server_error", "code": "server_error", "message": "sorry"}
POOR = {"type": "insufficient_quota", "code": "insufficient_quota", "message": "check your plan"}
FULL = {"type": "tokens", "code": "rate_limit_exceeded", "message": "slow down"}
WRONG = {"type": "invalid_request_error", "code": "invalid_value", "message": "Invalid size.", "param": "size"}


def partial(place, data=ROUGH, **more):
    return {"type": "image_generation.partial_image", "b64_json": b64(data), "partial_image_index": place, **more}


def completed(data=PNG, **more):
    return {"type": "image_generation.completed", "b64_json": b64(data), "usage": USAGE, **more}


def event(data, end="\n"):
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: whatever{end}data: {text}{end}{end}".encode()


def stream(*events, end="\n"):
    body = b"".join(event(e, end) for e in events)
    return response(200, body, content_type="text/event-stream; charset=utf-8", x_request_id="req_9")


def pictures(found):
    return [s for s in found if isinstance(s, Picture)]


def previews(found):
    return [(s.place, s.picture.data, s.picture.media_type) for s in found if isinstance(s, PartialImage)]


# --- what arrives ---


@pytest.mark.parametrize("provider", OPENAI)
async def test_a_call_with_previews_asks_for_a_stream_with_so_many(provider):
    _, asked = await told(provider, stream(completed()), partial_images=2, output_format="webp")

    assert asked.json == {
        "model": "gpt-image-2",
        "prompt": "a secret mug",
        "n": 1,
        "output_format": "webp",
        "partial_images": 2,
        "stream": True,
    }


@pytest.mark.parametrize("provider", OPENAI)
async def test_an_edit_with_previews_says_so_in_its_form(provider):
    _, asked = await told(provider, stream(completed()), partial_images=3, images=(A_PNG,))

    texts = {name: data.decode() for name, file, _, data in asked.parts if not file}
    assert (texts["stream"], texts["partial_images"], texts["n"]) == ("true", "3", "1")


@pytest.mark.parametrize("count", [None, 0])
async def test_a_call_without_previews_is_no_stream(count):
    _, asked = await told("openai", response(200, success("openai", PNG)), partial_images=count)

    assert asked.json.keys() == {"model", "prompt", "n"}


# --- what is read ---


@pytest.mark.parametrize("provider", OPENAI)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_previews_come_in_their_order_and_then_the_picture_with_its_usage(provider, end):
    reply = stream(partial(0), partial(1, PNG), completed(), "[DONE]", end=end)

    found, _ = await told(provider, reply, partial_images=2)

    assert found[0] == Answered(status=200, request_id="req_9")
    assert previews(found) == [(0, ROUGH, "image/jpeg"), (1, PNG, "image/png")]
    assert found[-2:] == [
        Picture(data=PNG, media_type="image/png"),
        Usage(input_tokens=5, output_tokens=408, total_tokens=413),
    ]


async def test_a_preview_is_there_before_the_picture_is(simulator):
    simulator.bench.delay = 2.4
    arrived = {}

    async with opened("openai", simulator.url) as client:
        async for step in client.generate(order("openai", partial_images=2, size="256x256")):
            arrived.setdefault(type(step), time.monotonic())

    assert arrived[Picture] - arrived[PartialImage] > 0.6


@pytest.mark.parametrize(
    "bad",
    [
        "{not json",
        "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
        {"type": "image_generation.partial_image"},
        {"type": "image_generation.partial_image", "b64_json": None},
        {"type": "image_generation.partial_image", "b64_json": "%%%", "partial_image_index": "first"},
        {"type": "image_generation.partial_image", "b64_json": b64(b"no picture")},
        {"type": 7},
        {"type": "image_generation.dreaming", "b64_json": b64(PNG)},
        ["strange"],
    ],
    ids=str,
)
async def test_a_preview_that_cannot_be_read_does_not_cost_the_picture(bad):
    found, _ = await told("openai", stream(bad, partial(1), completed()), partial_images=2)

    assert [place for place, _, _ in previews(found)] == [1]
    assert [p.data for p in pictures(found)] == [PNG]


@pytest.mark.parametrize("place", ["first", None, True, -1, 7, 10**30])
async def test_a_preview_that_is_numbered_strangely_is_counted_by_us(place):
    found, _ = await told("openai", stream(partial(place), partial(place), completed()), partial_images=2)

    assert [place for place, _, _ in previews(found)] == [0, 1]


async def test_more_previews_than_were_asked_for_are_left_out():
    found, _ = await told("openai", stream(*map(partial, range(9)), completed()), partial_images=2)

    assert [place for place, _, _ in previews(found)] == [0, 1]
    assert len(pictures(found)) == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": "strange"},
        {"usage": {"input_tokens": "many"}},
        {"error": {"code": "server_error"}},
        {"size": 7, "background": ["x"], "created_at": "now", "revised_prompt": {"text": "x"}},
        {"type": "image_edit.completed"},
    ],
    ids=str,
)
async def test_strange_words_beside_a_streamed_picture_do_not_cost_the_picture(odd):
    found, _ = await told("openai", stream({**completed(), **odd}), partial_images=1)

    assert [p.data for p in pictures(found)] == [PNG]


async def test_what_comes_after_the_picture_does_not_cost_it():
    whole = stream(completed(), BROKEN | {"type": "error"})

    found, _ = await told("openai", whole, partial_images=1)

    assert [p.data for p in pictures(found)] == [PNG]


async def test_a_last_event_without_its_empty_line_still_brings_the_picture():
    body = event(completed()).rstrip(b"\n")

    found, _ = await told("openai", response(200, body, content_type="text/event-stream"), partial_images=1)

    assert [p.data for p in pictures(found)] == [PNG]


async def test_a_far_end_that_does_not_stream_has_its_picture_taken_all_the_same():
    found, _ = await told("openai", response(200, success("openai", PNG)), partial_images=2)

    assert [p.data for p in pictures(found)] == [PNG]


# --- what a break means ---


@pytest.mark.parametrize("provider", OPENAI)
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("drawn", [(), (partial(0),)], ids=["at once", "after a preview"])
async def test_a_refusal_within_a_stream_is_a_refusal_and_not_charged(provider, nested, drawn):
    said = {"type": "error", "error": POLICY} if nested else {**POLICY, "type": "error"}

    error = await failed(provider, stream(*drawn, said), partial_images=1)

    assert (error.outcome, error.error.code) == (Outcome.REFUSED, "INVALID_INPUT")
    assert error.error.details["reason"] == "content_policy"
    assert (error.provider_status, error.provider_request_id) == (200, "req_9")


async def test_fault_found_with_the_request_within_a_stream_names_its_field():
    error = await failed("openai", stream({"type": "error", "error": WRONG}), partial_images=1)

    assert (error.outcome, error.error.details["field"]) == (Outcome.REFUSED, "size")
    assert "Invalid size." in error.error.message


@pytest.mark.parametrize(
    ("said", "outcome", "reason"),
    [
        (BROKEN, Outcome.REFUSED, "provider_unavailable"),
        (FULL, Outcome.THROTTLED, "provider_rate_limited"),
        (POOR, Outcome.REFUSED, "provider_unavailable"),
    ],
)
async def test_another_error_before_anything_was_drawn_counts_as_the_status_that_it_stands_for(said, outcome, reason):
    error = await failed("openai", stream({"type": "error", "error": said}), partial_images=1)

    assert (error.outcome, error.error.details["reason"]) == (outcome, reason)


@pytest.mark.parametrize("said", [BROKEN, FULL, "in words", {"code": ["odd"]}])
async def test_another_error_after_a_preview_is_an_unknown_outcome_for_previews_are_charged(said):
    error = await failed("openai", stream(partial(0), {"type": "error", "error": said}), partial_images=2)

    assert (error.outcome, error.error.details["reason"]) == (Outcome.UNKNOWN, "outcome_unknown")


@pytest.mark.parametrize("provider", OPENAI)
@pytest.mark.parametrize("events", [(), (partial(0),), ("[DONE]",), (partial(0), "{not json")], ids=str)
async def test_a_stream_that_ends_without_its_picture_is_an_unknown_outcome(provider, events):
    error = await failed(provider, stream(*events), partial_images=1)

    assert (error.outcome, error.error.details["reason"]) == (Outcome.UNKNOWN, "outcome_unknown")


@pytest.mark.parametrize("provider", OPENAI)
@pytest.mark.parametrize("part", [0.2, 0.6, 0.95])
async def test_a_stream_that_is_cut_is_an_unknown_outcome(provider, part):
    whole = stream(partial(0), completed())
    head = whole.index(b"\r\n\r\n")
    whole = whole.replace(b"content-type", b"connection: close\r\ncontent-type", 1)

    error = await failed(provider, whole[: head + int((len(whole) - head) * part)], partial_images=1)

    assert (error.outcome, error.error.details["reason"]) == (Outcome.UNKNOWN, "outcome_unknown")


async def test_a_stream_cut_before_its_first_byte_is_an_unknown_outcome():
    error = await failed("openai", CUT, partial_images=1)

    assert error.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("provider", OPENAI)
async def test_a_stream_that_trickles_is_ended_by_the_time_of_the_whole_call(provider):
    begun = time.monotonic()

    error = await failed(provider, stream(partial(0), completed()), pause=0.1, timeout=0.5, partial_images=1)

    assert (error.outcome, error.error.details["reason"]) == (Outcome.UNKNOWN, "provider_timeout")
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("data", [b"no picture", b""])
async def test_a_streamed_picture_that_is_none_was_paid_for_and_is_final(data):
    error = await failed("openai", stream(completed(data)), partial_images=1)

    assert (error.outcome, error.error.details["reason"]) == (Outcome.BAD_RESPONSE, "provider_bad_response")


@pytest.mark.parametrize(("status", "outcome"), [(400, Outcome.REFUSED), (429, Outcome.THROTTLED), (502, "unknown")])
async def test_an_error_status_before_a_stream_means_what_it_means_without_one(status, outcome):
    error = await failed("openai", response(status, failure("openai", status, "no"), retry_after="7"), partial_images=1)

    assert (error.outcome, error.provider_status) == (outcome, status)


# --- against the simulator ---


@pytest.mark.parametrize("provider", OPENAI)
@pytest.mark.parametrize("images", [(), (A_PNG,)], ids=["generation", "edit"])
async def test_the_strict_far_end_streams_blurred_pictures_of_the_same_size(provider, images, simulator):
    async with opened(provider, simulator.url) as client:
        asked = order(provider, images=images, partial_images=3, size="256x256", quality="low", user="u1")
        found = [s async for s in client.generate(asked)]

    assert [place for place, _, _ in previews(found)] == [0, 1, 2]
    assert len({data for _, data, _ in previews(found)} | {pictures(found)[0].data}) == 4
    fields = simulator.bench.calls()[0]["fields"]
    assert fields == {
        "n": 1,
        "size": "256x256",
        "quality": "low",
        "user": "u1",
        "partial_images": 3,
        "stream": True,
    }


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("cut-stream", Outcome.UNKNOWN),
        ("end-stream", Outcome.UNKNOWN),
        ("error-stream", Outcome.UNKNOWN),
        ("refuse-stream", Outcome.REFUSED),
        ("empty", Outcome.BAD_RESPONSE),
        ("garbage", Outcome.BAD_RESPONSE),
        ("badjson", Outcome.UNKNOWN),
        ("429", Outcome.THROTTLED),
    ],
)
async def test_the_far_ends_faults_of_a_stream_are_what_they_say(fault, outcome, simulator):
    asked, found = order("openai", prompt=f"[{fault}] a mug", partial_images=2, size="256x256"), []

    async with opened("openai", simulator.url) as client:
        try:
            async for step in client.generate(asked):
                found.append(step)  # noqa: PERF401  # what came before the error is kept, too
        except Exception as error:  # noqa: BLE001  # looked at below
            found.append(error)

    assert found[-1].outcome is outcome
    assert len(previews(found)) == {"cut-stream": 1, "end-stream": 1, "error-stream": 1, "refuse-stream": 1}.get(
        fault, 2 if fault == "empty" else 0
    )


async def test_a_streaming_call_that_is_canceled_ends_at_once_and_leaves_the_client_usable(simulator):
    async with opened("openai", simulator.url) as client:
        asked = order("openai", partial_images=2, size="256x256")
        simulator.bench.delay = 3
        steps = client.generate(asked)
        await anext(steps)
        task = asyncio.create_task(anext(steps))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        simulator.bench.delay = 0

        found = [s async for s in client.generate(asked)]

    assert len(pictures(found)) == 1
