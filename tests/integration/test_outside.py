"""The guarded client on real sockets: what is sent, what is taken, and what becomes of far ends that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import time
from ipaddress import IPv4Network, IPv6Network

import pytest
from structlog.testing import capture_logs

from jobs.errors import InvalidPicture
from jobs.outside.address import AddressRefused, FetchFailed, Policy
from jobs.outside.client import MAX_BYTES, MAX_RESPONSE_BYTES, Outside
from jobs.outside.fetch import NOT_FETCHED, fetch_picture
from tests.neighbours.hostile_server import Authority, Recorder, Script, Turned, bad_server

pytestmark = pytest.mark.anyio

LOOPBACK = (IPv4Network("127.0.0.0/8"),)
OPEN = Policy(hosts=frozenset({"good.example", "xn--bcher-kva.example", "127.0.0.1", "localhost"}), networks=LOOPBACK)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
PICTURE = PNG + bytes(range(256)) * 400
PUBLIC = "93.184.215.14"
SOON = 0.25


class Hurried(Outside):
    """`fetch_picture` gives no time of its own; the tests have not got ten seconds."""

    async def get(self, url, *, seconds=SOON, **more):
        return await super().get(url, seconds=seconds, **more)


def answers(*addresses):
    """A resolver that gives each of these in turn, and the last one ever after; it keeps what it was asked."""

    async def resolve(host, port):
        resolve.asked.append((host, port))
        return [addresses[min(len(resolve.asked), len(addresses)) - 1]]

    resolve.asked = []
    return resolve


def outside(kind=Outside, policy=OPEN, address="127.0.0.1", **more):
    return kind(policy, **{"resolve": answers(address), **more})


def ok(body=PICTURE, status="200 OK", **headers):
    told = {"Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in told.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def head(*lines, status="200 OK"):
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


HARMLESS = [  # URL, request target, Host
    ("http://good.example:{port}/a.png", "/a.png", "good.example:{port}"),
    ("HTTP://GOOD.Example:{port}/A.png", "/A.png", "good.example:{port}"),
    ("http://good.example:{port}", "/", "good.example:{port}"),
    ("http://good.example:{port}/", "/", "good.example:{port}"),
    ("http://good.example:{port}?a=1", "/?a=1", "good.example:{port}"),
    ("http://good.example:{port}/?", "/?", "good.example:{port}"),
    ("http://good.example:{port}/%41%2f%2e%e2%82%aC.png", "/%41%2f%2e%e2%82%aC.png", "good.example:{port}"),
    ("http://good.example:{port}//a/../b/./c//", "//a/../b/./c//", "good.example:{port}"),
    ("http://good.example:{port}/a?x=1&y=/?&z=https://b/", "/a?x=1&y=/?&z=https://b/", "good.example:{port}"),
    ("http://good.example:{port}/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@", "good.example:{port}"),
    ("http://good.example/a.png", "/a.png", "good.example"),
    ("http://xn--bcher-kva.example/a.png", "/a.png", "xn--bcher-kva.example"),
    ("http://127.0.0.1:{port}/a.png", "/a.png", "127.0.0.1:{port}"),
    ("http://127.0.0.1", "/", "127.0.0.1"),
    ("https://good.example/a.png", "/a.png", "good.example"),
    ("https://good.example:443/a.png", "/a.png", "good.example"),
    ("https://good.example:{port}/a.png?sig=a%2Bb%3D", "/a.png?sig=a%2Bb%3D", "good.example:{port}"),
    ("hTTpS://GOOD.EXAMPLE:{port}?q", "/?q", "good.example:{port}"),
    ("https://xn--bcher-kva.example:{port}/%C3%BC", "/%C3%BC", "xn--bcher-kva.example:{port}"),
    ("https://127.0.0.1:{port}/a.png", "/a.png", "127.0.0.1:{port}"),
]


@pytest.mark.parametrize(("url", "path", "host"), HARMLESS)
async def test_a_harmless_address_is_asked_as_it_was_written(authority, url, path, host):
    tls, names = authority.serving("good.example", "xn--bcher-kva.example", "127.0.0.1")
    secure = url.lower().startswith("https")

    async with bad_server(Script(ok()), tls=tls if secure else None) as far:
        network = Turned(ports={80: far.port, 443: far.port})
        client = outside(backend=network, ssl_context=authority.trusting())
        got = await client.get(url.format(port=far.port), accept=lambda first: first == PICTURE[:12])

    bare = host.partition(":")[0]
    assert got == PICTURE
    assert far.request_line == f"GET {path} HTTP/1.1"
    assert far.headers == {
        "host": host.format(port=far.port),
        "user-agent": "Darkroom",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
    }
    assert [address for address, _ in network.dialled] == ["127.0.0.1"]
    assert names == ([None if bare[0].isdigit() else bare] if secure else [])


async def test_the_systems_own_resolver_is_asked_where_none_is_handed_in():
    async with bad_server(Script(ok())) as far:
        got = await Outside(OPEN).get(f"http://localhost:{far.port}/a.png")

        with pytest.raises(AddressRefused, match=r"^address$"):
            await Outside(Policy(ports=frozenset({far.port}))).get(f"https://localhost:{far.port}/a.png")

    assert got == PICTURE
    assert far.connections == 1


async def test_a_name_with_addresses_of_ipv6_alone_is_asked_there(monkeypatch):
    """The system's resolver stands at the edge: of such a name it says that there is no address of IPv4."""
    asked = []

    async def getaddrinfo(_host, port, *, family, **_):
        asked.append(family)
        if family == socket.AF_INET:
            raise socket.gaierror(socket.EAI_NONAME, "no address of this family")
        return [(family, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))]

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    policy = Policy(hosts=frozenset({"good.example"}), networks=(IPv6Network("::1/128"),))
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with bad_server(Script(ok()), address="::1") as far:
        asked.clear()
        got = await Outside(policy).get(f"http://good.example:{far.port}/a.png")
        with pytest.raises(AddressRefused, match=r"^address$"):
            await Outside(Policy(ports=frozenset({far.port}))).get(f"https://good.example:{far.port}/a.png")

    assert (got, far.headers["host"], far.connections) == (PICTURE, f"good.example:{far.port}", 1)
    assert asked[:2] == [socket.AF_INET, socket.AF_INET6]


TAKEN = {
    "whole": Script(ok()),
    "the connection is kept open": Script(ok(), then="hang"),
    "empty": Script(ok(b"")),
    "one byte": Script(ok(b"x")),
    "until the end of the connection": Script(ok(Content_Length=None)),
    "in chunks": Script(head("Transfer-Encoding: chunked") + chunk(PNG) + chunk(PICTURE[len(PNG) :]) + b"0\r\n\r\n"),
    "in chunks with extensions and trailers": Script(
        head("Transfer-Encoding: chunked") + b"1;a=b\r\n\x89\r\n" + chunk(PICTURE[1:]) + b"0\r\nX-Sum: 1\r\n\r\n"
    ),
    "after early words": Script(head(status="103 Early Hints") + head(status="102 Processing") + ok()),
    "the encoding that was asked for": Script(ok(Content_Encoding="Identity")),
    "one length said twice": Script(head("Content-Length: 3", "Content-Length: 3") + b"abc"),
    "nothing beyond its length": Script(head("Content-Length: 3") + b"abcdef"),
    "HTTP/1.0": Script(b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE),
    "with cookies and a place to go": Script(ok(Set_Cookie="a=b", Location="http://127.0.0.1/", Refresh="0")),
}
SHORT = {"empty": b"", "one byte": b"x", "one length said twice": b"abc", "nothing beyond its length": b"abc"}


@pytest.mark.parametrize("what", TAKEN)
async def test_a_sound_answer_is_taken_whole(what):
    async with bad_server(TAKEN[what]) as far:
        client = outside()
        url = f"http://good.example:{far.port}/a.png"
        got = [await client.get(url), await client.get(url)]

    assert got == [SHORT.get(what, PICTURE)] * 2
    assert far.connections == 2
    assert "cookie" not in far.headers


@pytest.mark.parametrize(("size", "taken"), [(MAX_BYTES, True), (MAX_BYTES + 1, False)])
@pytest.mark.parametrize("length", [True, False])
async def test_a_body_is_taken_up_to_20_mib_and_no_further(size, taken, length):
    body = bytes(size)

    async with bad_server(Script(ok(body) if length else ok(body, Content_Length=None))) as far:
        with contextlib.nullcontext() if taken else pytest.raises(FetchFailed) as failed:
            got = await outside().get(f"http://good.example:{far.port}/")

    if taken:
        assert got == body
    else:
        assert failed.value.rule == ("length" if length else "too large")


SLOW = {
    "no answer at all": Script(then="hang"),
    "one byte at a time": Script(ok(PNG, Content_Length="1000"), b"x", pause=0.1),
    "a byte now and then in chunks": Script(head("Transfer-Encoding: chunked") + chunk(PNG), chunk(b"x"), pause=0.05),
    "slow headers": Script(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", pause=0.05),
    "a status that never ends": Script(b"HTTP/1.1 200 ", b"O", pause=0.05),
    "a body that stops": Script(head("Content-Length: 1000") + PICTURE[:500], then="hang"),
    "endless early words": Script(again=head(status="103 Early Hints") * 500),
    "early words now and then": Script(again=head(status="100 Continue"), pause=0.05),
    "a trickle of chunks": Script(head("Transfer-Encoding: chunked") + chunk(PNG), b"1\r\nx\r\n", pause=0.01),
}
BROKEN = {  # None: the rule is the name of the error
    "endless headers": (Script(head()[:-2], b"X-Filler: yes\r\n" * 100), None),
    "huge headers": (Script(head(f"X: {'y' * 200_000}") + PICTURE), None),
    "an endless header line": (Script(head()[:-2] + b"X: ", b"y" * 10_000), None),
    "an endless status line": (Script(b"HTTP/1.1 200 ", b"O" * 10_000), None),
    "endless in chunks": (Script(head("Transfer-Encoding: chunked") + chunk(PNG), chunk(bytes(60_000))), "too large"),
    "endless without a length": (Script(head() + PNG, bytes(60_000)), "too large"),
    "an endless chunk": (
        Script(head("Transfer-Encoding: chunked") + b"ffffffff\r\n" + PNG, bytes(60_000)),
        "too large",
    ),
    "an endless chunk extension": (Script(head("Transfer-Encoding: chunked") + b"1;", b"a" * 10_000), None),
    "endless trailers": (
        Script(head("Transfer-Encoding: chunked") + chunk(PNG) + b"0\r\n", b"X: y\r\n" * 1_000),
        None,
    ),
    "a chunk of no size": (Script(head("Transfer-Encoding: chunked") + b"x\r\n" + PNG), None),
    "a chunk of negative size": (Script(head("Transfer-Encoding: chunked") + b"-1\r\n" + PNG), None),
    "a chunk longer than said": (Script(head("Transfer-Encoding: chunked") + b"1\r\n" + PNG + b"\r\n0\r\n\r\n"), None),
    "chunks cut off": (Script(head("Transfer-Encoding: chunked") + chunk(PNG)), None),
    "another transfer encoding": (Script(ok(Transfer_Encoding="gzip, chunked")), None),
    "a length and chunks": (Script(ok(chunk(PICTURE) + b"0\r\n\r\n", Transfer_Encoding="chunked")), "two lengths"),
    "a length too large": (Script(ok(Content_Length="200001")), "length"),
    "a length of a terabyte": (Script(ok(Content_Length="1000000000000")), "length"),
    "a length of 20 digits": (Script(ok(Content_Length="9" * 20)), "length"),
    "a length of 5000 digits": (Script(ok(Content_Length="9" * 5_000)), None),
    "a length it does not keep": (Script(ok(Content_Length="150000")), None),
    "a negative length": (Script(ok(Content_Length="-5")), None),
    "a length with a sign": (Script(ok(Content_Length="+5")), None),
    "a length in hex": (Script(ok(Content_Length="0x5")), None),
    "a length with an underscore": (Script(ok(Content_Length="1_0")), None),
    "an empty length": (Script(ok(Content_Length="")), None),
    "two lengths": (Script(head("Content-Length: 3", "Content-Length: 4") + b"abcd"), None),
    "two lengths in one": (Script(ok(Content_Length="3, 4")), None),
    **{
        f"content encoding {name}": (Script(ok(gzip.compress(PICTURE), Content_Encoding=name)), "content encoding")
        for name in ("gzip", "GZIP", "x-gzip", "br", "deflate", "zstd", "identity, gzip", "unknown")
    },
    **{
        f"status {status}": (Script(ok(status=f"{status} X")), f"status {status}")
        for status in (201, 202, 203, 205, 206, 226, 300, 303, 400, 401, 403, 404, 407, 410, 418, 429, 500, 503, 599)
    },
    **{
        f"status {status}": (Script(ok(b"", status=f"{status} X", Content_Length=None)), f"status {status}")
        for status in (204, 304)
    },
    "an upgrade": (
        Script(head("Upgrade: websocket", "Connection: Upgrade", status="101 Switching"), then="hang"),
        None,
    ),
    "HTTP/0.9": (Script(PICTURE), None),
    "HTTP/2": (Script(b"\0\0\x12\x04\0\0\0\0\0" + bytes(18)), None),
    "another protocol": (Script(b"220 mail.example ESMTP\r\n", deaf=True), None),
    "a database": (Script(b"-ERR unknown command 'GET'\r\n"), None),
    "a status of four digits": (Script(b"HTTP/1.1 2000 OK\r\n\r\n"), None),
    "a status of letters": (Script(b"HTTP/1.1 abc OK\r\n\r\n"), None),
    "a header without a name": (Script(head(": x") + PICTURE), None),
    "a header with a null": (Script(head("X: a\0b") + PICTURE), None),
    "garbage": (Script(bytes(range(256)) * 16), None),
    "nothing": (Script(), None),
    "a connection closed at once": (Script(deaf=True), None),
    "a connection reset at once": (Script(deaf=True, then="reset"), None),
    "a connection reset after the request": (Script(then="reset"), None),
    "a reset in the headers": (Script(b"HTTP/1.1 200 OK\r\nConte", then="reset"), None),
    "a reset in the body": (Script(ok(Content_Length="150000"), then="reset"), None),
    "no picture": (Script(ok(b"<!doctype html><title>Sign in</title>")), "magic"),
    "no picture in one byte": (Script(ok(b"<")), "magic"),
    "no picture in nothing": (Script(ok(b"")), "magic"),
    "no picture in chunks": (Script(head("Transfer-Encoding: chunked") + chunk(b"<") * 20, then="hang"), "magic"),
}
NAMES_OF_ERRORS = {"RemoteProtocolError", "ReadError"}


@pytest.mark.parametrize("what", [*SLOW, *BROKEN])
async def test_a_bad_answer_is_a_failure_within_the_deadline_and_says_nothing(what):
    script, rule = (SLOW[what], "too slow") if what in SLOW else BROKEN[what]
    seconds = SOON if what in SLOW else 5.0

    async with bad_server(script) as far:
        client = outside(Hurried)
        url = f"http://good.example:{far.port}/secret.png?sig=secret"
        began = time.monotonic()
        with capture_logs() as logs:
            failed, invalid = await asyncio.gather(
                client.get(url, seconds=seconds, most=200_000, accept=lambda first: first.startswith(b"\x89PNG")),
                fetch_picture(client, url),
                return_exceptions=True,
            )
        took = time.monotonic() - began

    assert type(failed) is FetchFailed
    assert (failed.rule in NAMES_OF_ERRORS) if rule is None else (failed.rule == rule)
    assert type(invalid) is InvalidPicture
    assert str(invalid) == NOT_FETCHED
    assert "secret" not in repr(logs) + str(failed)
    assert took < seconds + 3


async def test_the_bytes_of_what_is_no_picture_are_not_waited_for():
    async with bad_server(Script(ok(b"<html>" * 4, Content_Length=None), bytes(60_000))) as far:
        with pytest.raises(FetchFailed, match=r"^magic$"):
            await outside().get(f"http://good.example:{far.port}/", accept=lambda _: False)
        await asyncio.wait_for(far.left.wait(), 20)

    assert far.sent < 16 * 1024 * 1024  # what the sockets' buffers hold


async def test_an_endless_answer_is_let_go_of_at_20_mib():
    async with bad_server(Script(head("Transfer-Encoding: chunked") + chunk(PNG), chunk(bytes(60_000)))) as far:
        with pytest.raises(FetchFailed, match=r"^too large$"):
            await outside().get(f"http://good.example:{far.port}/")
        await asyncio.wait_for(far.left.wait(), 20)

    assert MAX_BYTES - 128 * 1024 < far.sent < MAX_BYTES + 16 * 1024 * 1024


@pytest.mark.parametrize("what", ["no answer at all", "one byte at a time", "endless early words"])
async def test_the_connection_is_let_go_of_when_time_is_up(what):
    async with bad_server(SLOW[what]) as far:
        with pytest.raises(FetchFailed, match=r"^too slow$"):
            await outside().get(f"http://good.example:{far.port}/", seconds=0.2)
        await asyncio.wait_for(far.left.wait(), 20)


async def test_a_caller_who_gives_up_is_canceled_and_the_connection_let_go_of():
    async with bad_server(Script(then="hang")) as far:
        fetching = asyncio.create_task(outside().get(f"http://good.example:{far.port}/"))
        await asyncio.wait_for(far.arrived.wait(), 20)
        fetching.cancel()

        with pytest.raises(asyncio.CancelledError):
            await fetching
        await asyncio.wait_for(far.left.wait(), 20)


async def test_a_resolver_that_hangs_is_cut_off_by_the_same_clock():
    async def resolve(_host, _port):
        await asyncio.sleep(60)

    with pytest.raises(FetchFailed, match=r"^too slow$"):
        await outside(resolve=resolve).get("http://good.example/", seconds=0.1)


async def test_a_network_that_hangs_is_cut_off_by_the_same_clock():
    class Hole(Recorder):
        async def connect_tcp(self, *_, **__):
            await asyncio.sleep(60)

    with pytest.raises(FetchFailed, match=r"^too slow$"):
        await outside(backend=Hole()).get("http://good.example/", seconds=0.1)


async def test_a_closed_port_is_a_failure_like_any_other():
    async with bad_server(Script()) as far:
        pass

    with pytest.raises(FetchFailed, match=r"^ConnectError$"):
        await outside().get(f"http://good.example:{far.port}/")
    with pytest.raises(InvalidPicture) as invalid:
        await fetch_picture(outside(), f"http://good.example:{far.port}/")
    assert str(invalid.value) == NOT_FETCHED


@pytest.mark.parametrize(
    "url", ["http://127.0.0.2/", "https://good.example:22/", "not a URL", "http://good.example:1#x"]
)
async def test_what_may_not_be_dialled_reads_like_every_other_failure(url):
    network = Recorder()

    with capture_logs() as logs, pytest.raises(InvalidPicture) as invalid:
        await fetch_picture(outside(policy=Policy(hosts=OPEN.hosts), backend=network), url)

    assert str(invalid.value) == NOT_FETCHED
    assert invalid.value.details == {}
    assert [(log["event"], log["kind"]) for log in logs] == [("picture not fetched", "AddressRefused")]
    assert url not in repr(logs)
    assert network.dialled == []


async def test_a_picture_is_fetched_unchanged():
    async with bad_server(Script(ok())) as far:
        got = await fetch_picture(outside(), f"http://good.example:{far.port}/a.png")

    assert got == PICTURE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:{port}/b", "http://good.example:{port}/b", "//127.0.0.1:{port}", "/b"]
)
async def test_a_redirect_is_not_followed(status, place):
    async with bad_server(Script(ok())) as there:
        moved = ok(b"", status=f"{status} Moved", Location=place.format(port=there.port))
        async with bad_server(Script(moved)) as far:
            url = f"http://good.example:{far.port}/a"
            with pytest.raises(FetchFailed, match=f"^status {status}$"):
                await outside().get(url)
            posted = await outside().post(url, headers={}, body=b"")

    assert posted.status == status
    assert there.connections == 0
    assert [request.split(b" ")[:2] for request in far.asked] == [[b"GET", b"/a"], [b"POST", b"/a"]]


async def test_the_environments_proxies_do_not_matter(monkeypatch):
    async with bad_server(Script()) as dead:
        pass
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{dead.port}")
        monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{dead.port}")

    async with bad_server(Script(ok())) as far:
        got = await outside().get(f"http://good.example:{far.port}/")
        posted = await outside().post(f"http://good.example:{far.port}/", headers={}, body=b"{}")

    assert got == PICTURE
    assert posted.body == PICTURE[:MAX_RESPONSE_BYTES]
    assert far.connections == 2


@pytest.mark.parametrize(
    ("names", "more"),
    [
        (["evil.example"], {}),
        (["good.example.evil.example", "www.good.example"], {}),
        (["*.good.example"], {}),
        (["127.0.0.1"], {}),
        ([], {}),
        (["good.example"], {"own": True}),
        (["good.example"], {"days": -1}),
    ],
    ids=str,
)
@pytest.mark.parametrize("verb", ["get", "post"])
async def test_nothing_is_said_to_a_server_whose_certificate_does_not_hold(authority, names, more, verb):
    tls, asked = authority.serving(*names, **more)
    said = {"headers": {}, "body": b"{}"} if verb == "post" else {}

    async with bad_server(Script(ok()), tls=tls) as far:
        client = outside(ssl_context=authority.trusting())
        with pytest.raises(FetchFailed, match=r"^ConnectError$"):
            await getattr(client, verb)(f"https://good.example:{far.port}/secret", **said)

    assert asked == ["good.example"]
    assert far.asked == []
    assert far.sent == 0


async def test_an_authority_that_the_system_does_not_know_is_not_believed(authority):
    tls, asked = authority.serving("good.example")

    async with bad_server(Script(ok()), tls=tls) as far:
        with pytest.raises(FetchFailed, match=r"^ConnectError$"):
            await outside().get(f"https://good.example:{far.port}/")

    assert asked == ["good.example"]
    assert far.asked == []


async def test_a_server_without_tls_is_a_failure():
    async with bad_server(Script(ok(), deaf=True)) as far:
        with pytest.raises(FetchFailed, match=r"^ConnectError$"):
            await outside().get(f"https://good.example:{far.port}/")

    assert far.asked == []


async def test_tls_cut_off_in_the_body_is_a_failure(authority):
    tls, _ = authority.serving("good.example")

    async with bad_server(Script(ok(Content_Length="150000"), then="reset"), tls=tls) as far:
        with pytest.raises(FetchFailed, match=r"^(RemoteProtocolError|ReadError)$"):
            await outside(ssl_context=authority.trusting()).get(f"https://good.example:{far.port}/")


@pytest.mark.parametrize("verb", ["get", "post"])
async def test_a_name_that_turns_private_after_it_was_asked_is_dialled_at_its_public_address(verb):
    async with bad_server(Script(ok())) as listener:
        network, resolve = Recorder(), answers(PUBLIC, "127.0.0.1")
        client = Outside(Policy(ports=frozenset({listener.port})), resolve=resolve, backend=network)
        said = {"headers": {}, "body": b"{}"} if verb == "post" else {}

        with pytest.raises(FetchFailed, match=r"^ConnectError$"):
            await getattr(client, verb)(f"https://good.example:{listener.port}/", **said)
        asked_once = list(resolve.asked)
        with pytest.raises(AddressRefused, match=r"^address$"):
            await getattr(client, verb)(f"https://good.example:{listener.port}/", **said)

    assert asked_once == [("good.example", listener.port)]
    assert len(resolve.asked) == 2
    assert network.dialled == [(PUBLIC, listener.port)]
    assert listener.connections == 0


async def test_a_name_that_turns_public_after_it_was_asked_is_refused_for_its_private_address():
    async with bad_server(Script(ok())) as listener:
        network, resolve = Recorder(), answers("127.0.0.1", PUBLIC)
        client = Outside(Policy(ports=frozenset({listener.port})), resolve=resolve, backend=network)

        with pytest.raises(AddressRefused, match=r"^address$"):
            await client.get(f"https://good.example:{listener.port}/")

    assert resolve.asked == [("good.example", listener.port)]
    assert network.dialled == []
    assert listener.connections == 0


async def test_a_name_that_turns_from_one_listener_to_another_reaches_the_first():
    async with (
        bad_server(Script(ok(b"first"))) as first,
        bad_server(Script(ok(b"second")), address="127.0.0.2", port=first.port) as second,
    ):
        client = outside(resolve=answers("127.0.0.1", "127.0.0.2"))
        url = f"http://good.example:{first.port}/"
        got = [await client.get(url), await client.get(url)]

    assert got == [b"first", b"second"]
    assert (first.connections, second.connections) == (1, 1)


async def test_a_network_that_leads_to_another_address_is_hung_up_on():
    async with bad_server(Script(ok())) as far:
        network = Turned(hosts={"127.0.0.9": "127.0.0.1"})
        with pytest.raises(FetchFailed, match=r"^another address was reached$"):
            await outside(address="127.0.0.9", backend=network).get(f"http://good.example:{far.port}/")
        await asyncio.wait_for(far.left.wait(), 20)

    assert far.asked == []


async def test_a_post_arrives_as_it_was_sent():
    body = bytes(range(256)) * 20

    async with bad_server(Script(ok(b"thanks", status="202 Accepted", X_Word="Yes"))) as far:
        headers = {"Content-Type": "application/json", "webhook-id": "evt_1"}
        answer = await outside().post(f"http://good.example:{far.port}/hook?a=1", headers=headers, body=body)

    assert far.request_line == "POST /hook?a=1 HTTP/1.1"
    assert far.body == body
    assert far.headers == {
        "host": f"good.example:{far.port}",
        "user-agent": "Darkroom",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
        "content-length": str(len(body)),
        "content-type": "application/json",
        "webhook-id": "evt_1",
    }
    assert (answer.status, answer.body) == (202, b"thanks")
    assert answer.headers == {"content-length": "6", "x-word": "Yes"}


@pytest.mark.parametrize("status", [200, 201, 204, 301, 304, 400, 404, 410, 429, 500, 503])
async def test_any_status_answers_a_post(status):
    retry = ok(b"", status=f"{status} X", Content_Length=None, Retry_After="7")

    async with bad_server(Script(retry)) as far:
        answer = await outside().post(f"http://good.example:{far.port}/", headers={}, body=b"{}")

    assert (answer.status, answer.headers, answer.body) == (status, {"retry-after": "7"}, b"")


@pytest.mark.parametrize(
    ("script", "size"),
    [
        (Script(ok(bytes(MAX_RESPONSE_BYTES - 1))), MAX_RESPONSE_BYTES - 1),
        (Script(ok(bytes(MAX_RESPONSE_BYTES))), MAX_RESPONSE_BYTES),
        (Script(ok(bytes(MAX_RESPONSE_BYTES + 1))), MAX_RESPONSE_BYTES),
        (Script(ok(bytes(MAX_RESPONSE_BYTES), Content_Length="1000000000000"), then="hang"), MAX_RESPONSE_BYTES),
        (Script(head() + b"x", bytes(60_000)), MAX_RESPONSE_BYTES),
        (Script(head("Transfer-Encoding: chunked"), chunk(bytes(60_000))), MAX_RESPONSE_BYTES),
    ],
)
async def test_64_kib_of_an_answer_to_a_post_are_kept(script, size):
    async with bad_server(script) as far:
        answer = await outside().post(f"http://good.example:{far.port}/", headers={}, body=b"{}", seconds=2)
        await asyncio.wait_for(far.left.wait(), 20)

    assert len(answer.body) == size
    assert far.sent < 16 * 1024 * 1024


FAILING_POSTS = [
    *SLOW,
    "endless headers",
    "huge headers",
    "two lengths",
    "an upgrade",
    "HTTP/0.9",
    "another protocol",
    "garbage",
    "nothing",
    "a connection closed at once",
    "a connection reset at once",
    "a connection reset after the request",
    "a reset in the headers",
]


@pytest.mark.parametrize("what", FAILING_POSTS)
async def test_a_bad_answer_to_a_post_is_a_failure_within_the_deadline(what):
    script = SLOW[what] if what in SLOW else BROKEN[what][0]
    seconds = SOON if what in SLOW else 5.0

    async with bad_server(script) as far:
        began = time.monotonic()
        with pytest.raises(FetchFailed) as failed:
            await outside().post(f"http://good.example:{far.port}/", headers={}, body=b"{}", seconds=seconds)
        took = time.monotonic() - began

    assert failed.value.rule in ({"too slow"} if what in SLOW else NAMES_OF_ERRORS)
    assert took < seconds + 3


@pytest.mark.parametrize(
    "script",
    [SLOW["one byte at a time"], SLOW["a body that stops"], BROKEN["a chunk of negative size"][0]],
    ids=["slow", "hangs", "broken"],
)
async def test_a_status_counts_whatever_becomes_of_the_body_behind_it(script):
    async with bad_server(script) as far:
        answer = await outside().post(f"http://good.example:{far.port}/", headers={}, body=b"{}", seconds=5)

    assert answer.status == 200
    assert len(answer.body) < 1_000


async def test_a_far_end_that_does_not_read_is_given_up():
    async def deaf(_reader, writer):
        await left.wait()
        writer.close()

    left = asyncio.Event()
    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    url = f"http://good.example:{server.sockets[0].getsockname()[1]}/"

    with pytest.raises(FetchFailed, match=r"^too slow$"):
        await outside().post(url, headers={}, body=bytes(MAX_BYTES), seconds=SOON)

    left.set()
    server.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "168.63.129.16", "169.254.169.254", "::1"])
async def test_a_post_to_a_private_address_is_refused(address):
    async with bad_server(Script(ok())) as listener:
        network = Recorder()
        client = outside(policy=Policy(ports=frozenset({listener.port})), address=address, backend=network)

        with pytest.raises(AddressRefused):
            await client.post(f"https://good.example:{listener.port}/", headers={}, body=b"{}")

    assert network.dialled == []
    assert listener.connections == 0
