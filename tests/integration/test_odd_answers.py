"""Answers as far ends really send them, through the real SDKs: a picture that is in one of them is kept."""

import base64
import json

import pytest

from app.simulator.draw import draw
from jobs.errors import Outcome
from jobs.model.picture import Picture, Usage
from jobs.providers.base import PartialImage, Text, Unusable, Warned
from tests.neighbours.scripted_provider import (
    ALL,
    EDITING,
    OPENAI,
    b64,
    failed,
    response,
    running_far_end,
    success,
    told,
)

pytestmark = pytest.mark.anyio

PNG = draw("a mug", "beef", 64, 64, "png")
JPEG = draw("a mug", "beef", 64, 64, "jpeg")
LINES = base64.encodebytes(PNG).decode()
SPELLINGS = {
    "data URL": f"data:image/png;base64,{b64(PNG)}",
    "lines": LINES,
    "CR LF": LINES.replace("\n", "\r\n"),
    "line feed at the end": b64(PNG) + "\n",
    "all of them": f" DATA:image/png;charset=x;base64,{LINES}",
}


def pictures(found):
    return [s.data for s in found if isinstance(s, Picture)]


def warned(found):
    return [w.code for w in found if isinstance(w, Warned)]


def wired(provider, text):
    """A good answer whose picture is spelt so."""
    return json.loads(json.dumps(success(provider, PNG)).replace(json.dumps(b64(PNG)), json.dumps(text)))


def event(data, name=None, end="\n"):
    head = f"event: {name}{end}" if name else ""
    return f"{head}data: {json.dumps(data)}{end}{end}".encode()


def inline(data, mime="image/png", **more):
    return {"inlineData": {"mimeType": mime, "data": data if isinstance(data, str) else b64(data)}, **more}


def answered(*candidates, **more):
    return {"candidates": list(candidates), **more}


def candidate(*parts, **more):
    return {"content": {"parts": list(parts)}, "finishReason": "STOP", **more}


# --- base64 with a head or in lines ---


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_base64_may_have_a_head_and_white_space(provider, spelling):
    found, _ = await told(provider, response(200, wired(provider, SPELLINGS[spelling])))

    assert (pictures(found), warned(found)) == ([PNG], [])


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_base64_may_have_them_in_a_stream_too(spelling):
    last = event({"type": "image_generation.completed", "b64_json": SPELLINGS[spelling]})

    found, _ = await told("openai", response(200, last, content_type="text/event-stream"), partial_images=1)

    assert pictures(found) == [PNG]


async def test_an_address_may_be_the_picture_itself():
    found, _ = await told("openai", response(200, {"data": [{"url": SPELLINGS["data URL"]}]}))

    assert pictures(found) == [PNG]


# --- an address instead of bytes ---


@pytest.mark.parametrize("provider", OPENAI)
@pytest.mark.parametrize("beside", [{}, {"b64_json": ""}, {"b64_json": None}], ids=str)
async def test_a_picture_at_an_address_of_the_providers_own_host_is_fetched(provider, beside):
    async with running_far_end() as far:
        far.replies = {
            "POST": response(200, {"data": [{"url": f"{far.url}/files/a.png?sig=1", **beside}]}),
            "GET": response(200, PNG, content_type="image/png"),
        }

        found = await far.asked_by(provider)

        assert [asked.path for asked in far.asked[1:]] == ["/files/a.png?sig=1"]
        assert not {"authorization", "api-key", "x-goog-api-key"} & far.asked[1].headers.keys()
    assert pictures(found) == [PNG]


async def test_a_file_of_gemini_is_fetched():
    async with running_far_end() as far:
        part = {"fileData": {"mimeType": "image/png", "fileUri": f"{far.url}/v1beta/files/a:download"}}
        far.replies = {"POST": response(200, answered(candidate(part))), "GET": response(200, PNG)}

        found = await far.asked_by("gemini")

    assert pictures(found) == [PNG]


@pytest.mark.parametrize("provider", EDITING)
@pytest.mark.parametrize("why", ["elsewhere", "gone"])
async def test_an_address_that_cannot_be_fetched_is_told_in_the_failure(provider, why):
    async with running_far_end() as far, running_far_end(response(200, PNG)) as other:
        url = f"{other.url}/private.png" if why == "elsewhere" else f"{far.url}/gone.png"
        part = {"fileData": {"fileUri": url}}
        body = answered(candidate(part)) if provider == "gemini" else {"data": [{"url": url}]}
        far.replies = {"POST": response(200, body), "GET": response(404)}

        error = await far.failing(provider)

        assert other.asked == []
    assert error.outcome is Outcome.BAD_RESPONSE
    assert url in error.error.message


# --- words that are not strict JSON ---


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(
    "word",
    [rb'"a fox \ud83d"', b'"caf\xe9"', b'"a\nfox"', b"NaN", b"-Infinity", rb'"\udc00\ud83d"', b'"a\x00fox"'],
)
async def test_words_that_are_not_strict_json_do_not_cost_the_picture(provider, word):
    body = json.dumps(success(provider, PNG)).encode().replace(b'{"', b'{"usage": ' + word + b', "', 1)

    found, _ = await told(provider, response(200, body))

    assert (pictures(found), warned(found)) == ([PNG], ["damaged_answer"])


async def test_a_revised_prompt_that_is_broken_is_repaired():
    body = json.dumps(success("openai", PNG)).encode().replace(b'{"b64', rb'{"revised_prompt": "a fox \ud83d", "b64')

    found, _ = await told("openai", response(200, body))

    (made,) = [s for s in found if isinstance(s, Picture)]
    assert made.revised_prompt.startswith("a fox ")
    assert made.revised_prompt.encode()


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(("before", "after"), [(b"\xef\xbb\xbf", b""), (b"", b"\0"), (b"\r\n\r\n  ", b"\n\0\0")])
async def test_what_stands_before_and_after_the_json_does_not_cost_the_picture(provider, before, after):
    found, _ = await told(provider, response(200, before + json.dumps(success(provider, PNG)).encode() + after))

    assert pictures(found) == [PNG]


@pytest.mark.parametrize("provider", ALL)
async def test_json_that_is_broken_after_its_picture_still_brings_it(provider):
    whole = json.dumps(success(provider, PNG))

    found, _ = await told(provider, response(200, whole[: whole.index(b64(PNG)) + len(b64(PNG)) + 1].encode()))

    assert (pictures(found), warned(found)) == ([PNG], ["damaged_answer"])


@pytest.mark.parametrize("provider", ALL)
async def test_a_member_that_comes_twice_does_not_hide_the_picture(provider):
    whole = json.dumps(success(provider, PNG))

    found, _ = await told(provider, response(200, f'{whole[:-1]}, "data": null, "candidates": []}}'.encode()))

    assert pictures(found) == [PNG]


# --- one unusable entry spoils nothing ---


@pytest.mark.parametrize("provider", OPENAI)
@pytest.mark.parametrize("bad", [None, 7, "x", [], {"b64_json": 7}])
async def test_an_entry_that_is_none_does_not_cost_the_picture(provider, bad):
    body = success(provider, PNG)
    body["data"].insert(0, bad)

    found, _ = await told(provider, response(200, body))

    assert (pictures(found), warned(found)) == ([PNG], ["partial"])
    assert [s.index for s in found if isinstance(s, Picture)] == [0]


async def test_an_object_where_a_list_is_usual_is_its_only_entry():
    found, _ = await told("openai", response(200, {"data": {"b64_json": b64(PNG)}}))
    other, _ = await told(
        "gemini", response(200, {"candidates": {"content": {"parts": inline(PNG)}, "finishReason": "STOP"}})
    )

    assert pictures(found) == pictures(other) == [PNG]


@pytest.mark.parametrize(
    "body",
    [
        answered(None, candidate(inline(PNG))),
        answered(candidate(inline(""), inline(PNG))),
        answered(candidate(inline(b"RIFF____WAVEfmt ", "audio/wav"), inline(PNG))),
        answered({"finishReason": "OTHER"}, candidate(inline(PNG))),
        answered({"content": {"parts": [None, 3, {"inlineData": None}, inline(PNG)]}}),
        answered({"content": {"parts": [{"inline_data": {"mime_type": "image/png", "data": b64(PNG)}}]}}),
        answered({"content": None}, candidate({"text": 3}, inline(PNG))),
    ],
    ids=range(7),
)
async def test_what_is_no_picture_in_geminis_answer_does_not_cost_the_one_that_is(body):
    found, _ = await told("gemini", response(200, body))

    assert pictures(found) == [PNG]


async def test_the_last_picture_that_is_a_thought_is_taken_where_there_is_no_other():
    parts = [{"text": "hm", "thought": True}, inline(JPEG, thought=True), inline(PNG, thought=True)]

    found, _ = await told("gemini", response(200, answered(candidate(*parts))))

    assert pictures(found) == [PNG]
    assert not [s for s in found if isinstance(s, Text)]


# --- not the framing that was asked for ---


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CR LF", "CR"])
@pytest.mark.parametrize("kind", ["text/event-stream", "TEXT/Event-Stream; charset=utf-8", "application/json", ""])
@pytest.mark.parametrize("streams", [True, False])
async def test_events_are_read_as_events_whatever_was_asked_and_announced(streams, kind, end):
    partial = event({"b64_json": b64(JPEG), "partial_image_index": 0}, "image_generation.partial_image", end)
    last = event({"b64_json": b64(PNG)}, "image_generation.completed", end)
    reply = response(200, b": hello" + (end * 2).encode() + partial + last, content_type=kind)

    found, _ = await told("openai", reply, **({"partial_images": 1} if streams else {}))

    assert pictures(found) == [PNG]
    assert len([s for s in found if isinstance(s, PartialImage)]) == streams


async def test_json_that_is_announced_as_events_is_read_as_json():
    reply = response(200, success("openai", PNG), content_type="text/event-stream")

    found, _ = await told("openai", reply, partial_images=1)

    assert pictures(found) == [PNG]


async def test_events_with_whole_answers_bring_a_picture_each():
    reply = response(200, event(success("openai", PNG)) + event(success("openai", JPEG)))

    found, _ = await told("openai", reply, n=2)

    assert [(s.index, s.data) for s in found if isinstance(s, Picture)] == [(0, PNG), (1, JPEG)]


async def test_gemini_may_answer_in_events_or_in_a_list():
    pieces = [answered(candidate({"text": "Here "})), answered(candidate({"text": "it is."}, inline(PNG)))]

    events, _ = await told("gemini", response(200, b"".join(map(event, pieces)), content_type="text/event-stream"))
    listed, _ = await told("gemini", response(200, pieces))

    assert pictures(events) == pictures(listed) == [PNG]
    assert Text("Here it is.") in events
    assert Text("Here it is.") in listed


@pytest.mark.parametrize("provider", ALL)
async def test_a_body_that_is_the_picture_itself_is_taken(provider):
    found, _ = await told(provider, response(200, PNG, content_type="image/png"))

    assert pictures(found) == [PNG]


# --- heads and statuses ---


@pytest.mark.parametrize("provider", ALL)
async def test_an_answer_may_have_long_headers(provider):
    found, _ = await told(provider, response(200, success(provider, PNG), set_cookie="a=" + "x" * 60_000))

    assert pictures(found) == [PNG]


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("status", [201, 202, 203, 206, 299])
async def test_any_2xx_brings_its_picture(provider, status):
    found, _ = await told(provider, response(status, success(provider, PNG)))

    assert pictures(found) == [PNG]


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(("status", "body"), [(202, b""), (204, b""), (202, b'{"id": "op_1"}'), (201, b"created")])
async def test_no_2xx_is_known_not_to_be_billed(provider, status, body):
    error = await failed(provider, response(status, body))

    assert error.outcome in {Outcome.UNKNOWN, Outcome.BAD_RESPONSE}
    assert error.provider_status == status


@pytest.mark.parametrize("provider", ALL)
async def test_an_answer_that_is_cut_after_its_picture_still_brings_it(provider):
    body = json.dumps(success(provider, PNG)).encode()
    whole = response(200, body + b" " * 9, connection="close")

    found, _ = await told(provider, whole[: whole.index(b64(PNG).encode()) + len(b64(PNG)) + 1])

    assert (pictures(found), warned(found)) == ([PNG], ["damaged_answer"])


@pytest.mark.parametrize("ending", ["", "}", "}\n"])
async def test_a_stream_that_is_cut_after_its_picture_still_brings_it(ending):
    body = event({"type": "image_generation.completed", "b64_json": b64(PNG)}).rstrip(b"}\n") + ending.encode()
    reply = response(
        200, body, content_type="text/event-stream", content_length=str(len(body) + 99), connection="close"
    )

    found, _ = await told("openai", reply, partial_images=1)

    assert pictures(found) == [PNG]


async def test_a_stream_that_is_cut_within_a_preview_brings_no_preview_for_the_picture():
    body = event({"type": "image_generation.partial_image", "b64_json": b64(PNG)}).rstrip(b"}\n")
    reply = response(
        200, body, content_type="text/event-stream", content_length=str(len(body) + 99), connection="close"
    )

    error = await failed("openai", reply, partial_images=1)

    assert error.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("provider", ALL)
async def test_an_answer_may_have_many_headers(provider):
    more = {f"x_h{number}": "x" for number in range(300)}

    found, _ = await told(provider, response(200, success(provider, PNG), **more))

    assert pictures(found) == [PNG]


# --- bytes that are no picture ---


@pytest.mark.parametrize("provider", ALL)
async def test_bytes_that_are_no_picture_are_handed_on_as_they_came(provider):
    async with running_far_end(response(200, success(provider, b"this is no picture"))) as far:
        found, error = await far.ending(provider)

    assert [s.data for s in found if isinstance(s, Unusable)] == [b"this is no picture"]
    assert error.outcome is Outcome.BAD_RESPONSE


@pytest.mark.parametrize("provider", ALL)
async def test_an_answer_that_cannot_be_read_is_handed_on_as_it_came(provider):
    async with running_far_end(response(200, b"<html>hello</html>")) as far:
        found, error = await far.ending(provider)

    assert [s.data for s in found if isinstance(s, Unusable)] == [b"<html>hello</html>"]
    assert error.outcome is Outcome.UNKNOWN


# --- token counts ---


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ({"input_tokens": 12.0, "output_tokens": "1290"}, (12, 1290, 1302)),
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}, (5, 7, 12)),
        ({"input_tokens": 5, "output_tokens": "many", "total_tokens": 12}, (5, 7, 12)),
        ({"input_tokens": True, "output_tokens": -4, "total_tokens": 12}, (None, None, 12)),
        ({"input_tokens": 5, "input_tokens_details": "none"}, (5, None, None)),
    ],
)
async def test_of_openais_token_counts_what_converts_is_kept(said, counted):
    found, _ = await told("openai", response(200, {**success("openai", PNG), "usage": said}))

    (usage,) = [s for s in found if isinstance(s, Usage)]
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == counted


async def test_geminis_thoughts_are_counted_with_what_it_put_out():
    counts = {
        "promptTokenCount": 5.0,
        "candidatesTokenCount": "1290",
        "thoughtsTokenCount": 100,
        "totalTokenCount": 1395,
    }

    found, _ = await told("gemini", response(200, {**success("gemini", PNG), "usageMetadata": counts}))

    (usage,) = [s for s in found if isinstance(s, Usage)]
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (5, 1390, 1395)
