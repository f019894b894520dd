"""Forms: read strictly, whatever pieces they come in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.http.multipart import MAX_PARTS, MAX_TEXT_BYTES, Part, read_form
from jobs.errors import InvalidInput, PayloadTooLarge, UnsupportedMediaType
from tests.unit.app.requests import request

pytestmark = pytest.mark.anyio
KIND = "multipart/form-data; boundary=b"


def form(*parts):
    """The body of a form: a part is its disposition and its bytes."""
    told = [b"--b\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % part for part in parts]
    return b"".join([*told, b"--b--\r\n"])


def read(body, kind=KIND):
    return read_form(request([body], content_type=kind))


async def test_text_and_files_come_in_their_order():
    body = form((b'name="prompt"', "Füchse".encode()), (b'name="image[]"; filename="a.png"', b"\x89PNG\0"))

    assert await read(body) == [Part("prompt", "Füchse"), Part("image[]", None, b"\x89PNG\0", "a.png")]


@settings(deadline=None, max_examples=50)
@given(cuts=st.lists(st.integers(0, 200), max_size=6))
async def test_where_the_pieces_are_cut_changes_nothing(cuts):
    body = form((b'name="a"', b"1\r\n--"), (b'name="b"; filename="x"', b"--b\r" * 20))
    places = sorted({min(cut, len(body)) for cut in (0, *cuts)})
    pieces = [body[a:b] for a, b in zip(places, [*places[1:], len(body)], strict=True)]

    assert await read_form(request(pieces, content_type=KIND)) == await read(body)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "multipart/mixed; boundary=b", ""])
async def test_another_media_type_is_refused(kind):
    with pytest.raises(UnsupportedMediaType, match="boundary"):
        await read(form(), kind)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n",
        form((b'name="a"', b"1"))[:-4],
        b"no form at all",
        b'--b\r\nContent-Disposition: form-data;\r\n name="a"\r\n\r\n1\r\n--b--\r\n',
    ],
    ids=["empty", "begun", "cut", "other", "folded"],
)
async def test_what_is_no_whole_form_is_refused(body):
    with pytest.raises(InvalidInput, match="cannot be read"):
        await read(body)


@pytest.mark.parametrize("data", [b"\xff", b"a\0b"])
async def test_text_that_is_none_is_refused_by_name(data):
    with pytest.raises(InvalidInput) as refused:
        await read(form((b'name="prompt"', data)))

    assert refused.value.details["field"] == "prompt"


async def test_text_is_bounded():
    with pytest.raises(PayloadTooLarge) as refused:
        await read(form((b'name="prompt"', b"x" * (MAX_TEXT_BYTES + 1))))

    assert refused.value.details == {"field": "prompt", "limit": MAX_TEXT_BYTES}


async def test_parts_are_bounded():
    with pytest.raises(PayloadTooLarge, match="parts"):
        await read(form(*[(b'name="a"', b"1")] * (MAX_PARTS + 1)))
