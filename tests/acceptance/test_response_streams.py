"""Responses as events with OpenAI's own client: their order and numbers, previews, the strict helper, and going on."""

import base64
import hashlib

import openai
import pytest

from tests.acceptance.test_responses import TOOL, client, ended

CALL = "response.image_generation_call"
BEGIN = ["response.output_item.added", f"{CALL}.in_progress", f"{CALL}.generating"]
MESSAGE = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
END = [f"{CALL}.completed", "response.output_item.done", *MESSAGE, "response.completed"]
PARTIALS = {**TOOL, "partial_images": 2}


@pytest.fixture(scope="module")
def asking(gateway):
    with client(gateway) as found:
        yield found


def asked(text, tool=PARTIALS, **fields):
    return {"model": "gpt-4.1-mini", "input": text, "tools": [tool], **fields}


def streamed(asking, text, **fields):
    return list(asking.responses.create(**asked(text, **fields), stream=True))


def kinds(events):
    return [event.type for event in events]


def numbers(events):
    return [event.sequence_number for event in events]


def sha(text):
    return hashlib.sha256(base64.b64decode(text, validate=True)).hexdigest()


def test_events_come_in_openais_order_with_previews_and_the_picture(asking, shared_simulator):
    events = streamed(asking, "streams: a fox [delay=0.9]")

    partials = [event for event in events if event.type == f"{CALL}.partial_image"]
    begun = ["response.created", "response.in_progress", *BEGIN]
    assert kinds(events) == [*begun, *[f"{CALL}.partial_image"] * len(partials), *END]
    assert numbers(events) == list(range(len(events)))
    assert [event.partial_image_index for event in partials] == list(range(len(partials)))
    assert len(partials) == 2
    assert all(base64.b64decode(event.partial_image_b64).startswith(b"\x89PNG") for event in partials)
    made = events[-1].response
    (call,) = shared_simulator.bench.calls("streams: a fox")
    done = next(event for event in events if event.type == "response.output_item.done")
    assert sha(made.output[0].result) == sha(done.item.result) == call["pictures"][0]
    assert asking.responses.retrieve(made.id).model_dump() == made.model_dump()


def test_the_strict_helper_takes_the_events_and_has_the_response(asking):
    with asking.responses.stream(**asked("streams: a helper [delay=0.9]")) as stream:
        events = list(stream)
        made = stream.get_final_response()

    assert kinds(events)[-1] == "response.completed"
    assert made.status == "completed"
    assert "no text model" in made.output_text
    assert base64.b64decode(made.output[0].result).startswith(b"\x89PNG")


@pytest.mark.parametrize("seen", [1, 4, 6, 9])
def test_a_stream_that_was_cut_goes_on_after_what_was_seen(asking, seen):
    with asking.responses.create(
        **asked(f"streams: cut after {seen} [delay=0.9]", background=True), stream=True
    ) as stream:
        before = [next(stream) for _ in range(seen + 1)]
    response = before[0].response

    rest = list(asking.responses.retrieve(response.id, stream=True, starting_after=before[-1].sequence_number))
    again = list(asking.responses.retrieve(response.id, stream=True))

    whole = [*before, *rest]
    assert numbers(whole) == numbers(again) == list(range(len(whole)))
    assert kinds(whole) == kinds(again)
    assert kinds(whole)[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert kinds(whole)[-len(END) :] == END
    last = len(whole) - 1
    assert list(asking.responses.retrieve(response.id, stream=True, starting_after=last)) == []


@pytest.mark.parametrize(("fault", "code"), [("refuse", "image_content_policy_violation"), ("500", "server_error")])
def test_what_fails_ends_with_the_response_that_has_failed(asking, fault, code):
    events = streamed(asking, f"streams: unmade [{fault}]")

    assert kinds(events) == [
        *["response.created", "response.in_progress"],
        *BEGIN,
        *["response.output_item.done", "response.failed"],
    ]
    assert numbers(events) == list(range(len(events)))
    assert events[-1].response.error.code == code
    assert events[-2].item.status == "failed"


def test_a_cancelled_response_ends_its_stream(asking):
    begun = asking.responses.create(**asked("streams: cancelled [delay=5]", background=True))
    asking.responses.cancel(begun.id)
    ended(asking, begun)

    events = list(asking.responses.retrieve(begun.id, stream=True))

    assert events[-1].response.status == "cancelled"


def test_what_is_refused_before_there_is_a_job_is_an_answer_by_its_status(asking):
    with pytest.raises(openai.BadRequestError):
        streamed(asking, "streams: refused", tool={**TOOL, "size": "3x3"})
