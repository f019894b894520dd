"""Bodies and forms of at most a mebibyte that were made to be expensive to read."""

import json

from hypothesis import strategies as st

MAX_BYTES = 1024 * 1024
BOUNDARY = "x" * 60


def filled(piece, size=MAX_BYTES - 200):
    return piece * (size // len(piece))


def inside(value):
    """A value in the fields of a job, or of all items of a batch, that take any; it is a body that could be right."""
    return b'{"provider":"gemini","model":"gemini-2.5-flash-image","prompt":"a","options":{"gemini":{"a":%b}}}' % value


def names(count, *more):
    return b"{" + b",".join([*(b'"%d":1' % n for n in range(count)), *more]) + b"}"


NASTY = [
    inside(b"[" + filled(b"[],") + b"1]"),
    inside(b"[" + filled(b"{},") + b"1]"),
    inside(b"[" + filled(b"1,") + b"1]"),
    inside(b"[" + filled(b"1e9,") + b"1]"),
    inside(b"[" + filled(b'"",') + b"1]"),
    inside(b"[" + filled(b"[" * 25 + b"]" * 25 + b",") + b"1]"),
    inside(b"[" + filled(b"[],", 110_000) + b"1]"),
    inside(b"[" + filled(b'{"a":{}},', 170_000) + b"1]"),
    inside(names(39_000, b'"38999":1')),
    inside(names(80_000)),
    names(39_000, b'"38999":1'),
    inside(b"1" * 1_000_000),
    inside(b"0." + b"1" * 1_000_000),
    inside(b"1e" + b"9" * 1_000_000),
    inside(b'"' + filled(rb"\"") + b'"'),
    inside(b'"' + filled(rb"\\") + b'"'),
    inside(b'"' + filled(rb"\u0041") + b'"'),
    inside(b'"' + filled(rb"\ud83d") + b'"'),
    inside(b'"' + filled("😀".encode()) + b'"'),
    inside(b"[" + filled(b'"' + b"a" * 30 + b'",') + rb'"\ud83d"]'),
    b'{"prompt":"' + filled(rb"\""),
    filled(b"["),
    filled(b'{"a":'),
    filled(b'"'),
    filled(b" "),
    b'{"prompt":"a","' + filled(b"`") + b'":1}',
    b'{"prompt":"a","' + filled(b" - at `$.") + b'":1}',
    b'{"images":[' + filled(b'"a",', 150_000) + b'"a"],"prompt":"a"}',
    b'{"images":[' + filled(b'{"b64":"a"},', 400_000) + b'{}],"prompt":"a"}',
    b'{"referenceImages":[' + filled(b'{"b64":"a"},', 400_000) + b"{}]}",
    b'{"mask":{"b64":"' + filled(rb"\/") + b'"}}',
    b'{"mask":{"b64":"' + filled(rb"\"") + b'"}}',
    b'{"image":"data:' + filled(rb"\u002B") + b'","prompt":"a"}',
    b'{"items":[' + filled(b"{},", 110_000) + b"{}]}",
    b'{"items":[' + b",".join([b"{}"] * 500) + b'],"defaults":' + inside(b'"' + b"a" * 1_000_000 + b'"') + b"}",
    b'{"items":[' + b",".join([b"{}"] * 500) + b'],"defaults":' + inside(b'"' + b"a" * 16_000 + b'"') + b"}",
    b'{"items":[' + b",".join([b'{"prompt":"a"}'] * 500) + b'],"metadata":' + names(20_000) + b"}",
    b'{"url":"https://a.example","events":[' + filled(b'"a",', 150_000) + b'"a"]}',
]


TEXT = st.text(max_size=20) | st.sampled_from(["\ud83d", "\x00", '"', "\\", "😀", "data:", "`", " - at `$"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.integers(10**18, 10**30)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8)
FIELDS = st.sampled_from(
    ["prompt", "model", "provider", "options", "metadata", "items", "defaults", "images", "image", "mask", "b64", "url"]
)


@st.composite
def bodies(draw):
    """A body with one piece of it again and again, up to the most: what costs too much for its size is seen then."""
    value = json.dumps(draw(VALUES)).encode()
    piece = draw(st.sampled_from([b'"%b":%b', b"%b%b", b"[%b,%b]", b'{"%b":%b}', b'{"b64":"%b","a":%b}', b"%b,%b"]))
    piece %= (draw(FIELDS).encode(), value)
    size = draw(st.sampled_from([1_000, 30_000, 100_000, 300_000, MAX_BYTES - 200]))
    many = (piece + draw(st.sampled_from([b",", b"", b" "]))) * max(1, min(size, MAX_BYTES - 200) // (len(piece) + 1))
    before, behind = draw(
        st.sampled_from([(b"[", b"1]"), (b"{", b'"a":1}'), (b'"', b'"'), (b"", b""), (b'{"a":[', b"]}")])
    )
    whole = before + many + behind
    shape = draw(st.sampled_from([inside(b"%b"), b'{"items":%b}', b'{"images":%b,"prompt":"a"}', b"%b", b'{"a":%b}']))
    return (shape % whole)[:MAX_BYTES]


def part(*headers, content=b"a"):
    lines = "\r\n".join([f"--{BOUNDARY}", *headers, "", ""]).encode()
    return lines + content + b"\r\n"


NAMED = 'Content-Disposition: form-data; name="a"'
FORMS = [
    b"".join(part(NAMED.replace('"a"', f'"a{n}"')) for n in range(100)),
    b"".join(part(NAMED) for n in range(5_000)),
    part(NAMED, *["A: b"] * 100_000),
    b"".join(part(NAMED, *[f"X{n}: a" + "\r\n b" * 1_000 for n in range(6)]) for _ in range(30)),
    part(NAMED, "X: " + "a" * 900_000),
    part(NAMED, 'Content-Disposition: form-data; name="' + '\\"' * 400_000 + '"'),
    part(NAMED, content=filled(b"\r")),
    part(NAMED, content=filled(b"\r\n--")),
    part(NAMED, content=filled(b"\r\n--" + b"x" * 59 + b"y")),
    part(NAMED, content=filled(b"x" * 59 + b"y")),
    part(f'{NAMED}; filename="{"é" * 1_000}"', content=filled(b"\x00")),
    part('Content-Disposition: form-data; name="n"', content=b"1" * 250_000),
    part('Content-Disposition: form-data; name="stream"', content=b" " * 250_000),
    part('Content-Disposition: form-data; name="prompt"', content="😀".encode() * 60_000),
    filled(b"\r\n--"),
    filled(b"--" + b"x" * 59),
]
