"""Answers that are mutated at random and still hold a whole picture: it is always taken, and never asked for again."""

import asyncio
import base64
import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.simulator.draw import draw
from jobs.model.picture import Picture
from tests.neighbours.scripted_provider import ALL, b64, opened, order, response, running_far_end, success

PNG = draw("a mug", "beef", 16, 16, "png")
SPELLINGS = [
    b64(PNG),
    base64.encodebytes(PNG).decode(),
    base64.urlsafe_b64encode(PNG).decode().rstrip("="),
    f"data:image/png;base64,{b64(PNG)}",
]
WORDS = [b"null", b"7", b'"x"', b"[]", b"{}", b"NaN", rb'"\ud83d"', b'"caf\xe9"', rb'"\udc00 \"b64_json\": "', b"1e999"]
LINES = [b'"a\nb"', b'"a\x00b"', b'"a\tb"']
NAMES = [
    b"usage",
    b"usageMetadata",
    b"created",
    b"promptFeedback",
    b"revised_prompt",
    b"finishReason",
    b"data",
    b"text",
]
ENTRIES = [None, 0, "x", [], {}, {"b64_json": None}, {"content": None}, {"inlineData": {"data": ""}}, {"text": "hm"}]


class Line:
    """The providers, and a far end that they are asked at, on one event loop."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._stack = contextlib.AsyncExitStack()
        self.far = self._loop.run_until_complete(self._stack.enter_async_context(running_far_end()))
        self._clients = {}

    def asked(self, provider, reply):
        """The pictures that a provider brings of a reply, and how often it asked."""
        return self._loop.run_until_complete(self._asked(provider, reply))

    async def _asked(self, provider, reply):
        if provider not in self._clients:
            self._clients[provider] = await self._stack.enter_async_context(opened(provider, self.far.url))
        self.far.reply = reply
        self.far.asked.clear()
        steps = [step async for step in self._clients[provider].generate(order(provider, timeout=60))]
        return [step.data for step in steps if isinstance(step, Picture)], len(self.far.asked)

    def close(self):
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.close()


@pytest.fixture(scope="module")
def line():
    line = Line()
    yield line
    line.close()


def shuffled(draws, value):
    """The same JSON with members in another order, and entries of no use in its lists."""
    if isinstance(value, dict):
        members = draws(st.permutations(list(value.items())))
        return {name: shuffled(draws, each) for name, each in members}
    if isinstance(value, list):
        before, after = (draws(st.lists(st.sampled_from(ENTRIES), max_size=2)) for _ in range(2))
        return [*before, *(shuffled(draws, each) for each in value), *after]
    return value


def with_words(draws, text, words):
    """The same text with members more, of which some come twice, at the begin of any object."""
    for _ in range(draws(st.integers(0, 3))):
        places = [at for at in range(len(text)) if text[at : at + 2] == b'{"']
        at = draws(st.sampled_from(places)) + 1
        member = b'"%b": %b, ' % (draws(st.sampled_from(NAMES)), draws(st.sampled_from(words)))
        text = text[:at] + member + text[at:]
    if draws(st.booleans()):
        text = text.rstrip()[:-1] + draws(st.sampled_from([b', "data": null}', b', "candidates": [null]}', b"}"]))
    return text


@st.composite
def replies(draws, provider):
    body = success(provider, PNG)
    text = json.dumps(shuffled(draws, body)).replace(b64(PNG), "PICTURE").encode()
    events = draws(st.booleans())
    text = with_words(draws, text, WORDS if events else WORDS + LINES)
    spelt = json.dumps(draws(st.sampled_from(SPELLINGS))).encode()
    text = text.replace(b'"PICTURE"', spelt.replace(b"/", b"\\/") if draws(st.booleans()) else spelt)
    end = draws(st.sampled_from([b"\n", b"\r", b"\r\n"]))
    if events:
        name = draws(st.sampled_from([b"", b"event: image_generation.completed" + end, b": hm" + end, b"id: 1" + end]))
        text = name + b"data: " + text + draws(st.sampled_from([end * 2, end * 2 + b"data: [DONE]" + end * 2, b""]))
    elif draws(st.booleans()):
        text = b"[" + text + b"]"
    text = draws(st.sampled_from([b"", b"\xef\xbb\xbf", b"\r\n "])) + text + draws(st.sampled_from([b"", b"\0", b"\n"]))
    kind = draws(st.sampled_from(["application/json", "text/event-stream", "TEXT/HTML", ""]))
    return response(draws(st.sampled_from([200, 201, 202, 203, 206, 226])), text, content_type=kind)


@pytest.mark.parametrize("provider", ALL)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_whole_picture_is_always_taken_and_asked_for_once(line, provider, data):
    reply = data.draw(replies(provider))

    pictures, calls = line.asked(provider, reply)

    assert (pictures, calls) == ([PNG], 1)
