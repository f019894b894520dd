"""Hostile addresses: each is refused by the rule that stands for it, before a socket is opened."""

# ruff: noqa: RUF001  # look-alike letters are the attack

from __future__ import annotations

import socket
import ssl
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpcore
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.outside.address import (
    MAX_URL,
    Address,
    AddressRefused,
    FetchFailed,
    Policy,
    ascii_advice,
    check,
    parse,
    public,
    reference_policy,
    webhook_policy,
)
from jobs.outside.client import Outside
from jobs.settings import Settings
from tests.neighbours.hostile_server import Recorder

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.215.14"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
GOOD = "https://good.example/a.png"
LISTED = frozenset({"good.example", "xn--bcher-kva.example", PUBLIC, "10.0.0.1", "127.0.0.1", "169.254.169.254"})
REFERENCES = Policy(hosts=LISTED)
TLS = ssl.create_default_context()
WEBHOOKS = Policy(ports=frozenset({443, 8443}))

SPECIAL = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's wire server
        "169.254.0.0/16",  # link-local, metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocols, Oracle's metadata
        "192.0.2.0/24",  # TEST-NET-1
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # TEST-NET-2
        "203.0.113.0/24",  # TEST-NET-3
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
]


class Row(NamedTuple):
    """`answers`: what the name of the URL resolves to, or the error that the resolver raises."""

    url: str
    rule: str
    answers: Any = (PUBLIC,)


def middle(network):
    return network[network.num_addresses // 2]


RANGES = [
    Row(GOOD, "address", (str(address),))
    for network in SPECIAL
    for address in sorted({network[0], middle(network), network[-1]})
]
NOTORIOUS = [
    Row(GOOD, "address", (address,))
    for address in (
        "0.0.0.1",
        "10.0.0.1",
        "10.255.0.1",
        "100.100.100.200",  # Alibaba's metadata
        "127.0.0.1",
        "127.0.0.53",
        "127.1.2.3",
        "169.254.169.254",  # nearly everyone's metadata
        "169.254.169.253",
        "169.254.170.2",  # ECS credentials
        "172.17.0.1",  # Docker's bridge
        "172.31.255.254",
        "192.0.0.8",
        "192.0.0.9",  # is_global on newer Pythons
        "192.0.0.10",
        "192.0.0.170",
        "192.0.0.192",  # Oracle's metadata
        "192.168.0.1",
        "192.168.49.2",
        "198.19.255.254",
        "224.0.0.1",
        "224.0.0.251",
        "233.252.0.1",
        "239.255.255.250",
    )
]
MIXED = [
    Row(GOOD, "address", (PUBLIC, "127.0.0.1")),
    Row(GOOD, "address", ("127.0.0.1", PUBLIC)),
    Row(GOOD, "address", (PUBLIC, "169.254.169.254")),
    Row(GOOD, "address", ("169.254.169.254", PUBLIC)),
    Row(GOOD, "address", (PUBLIC, "168.63.129.16")),
    Row(GOOD, "address", ("168.63.129.16", PUBLIC)),
    Row(GOOD, "address", (PUBLIC, "10.0.0.1", PUBLIC)),
    Row(GOOD, "address", (PUBLIC, PUBLIC, PUBLIC, "224.0.0.1")),
    Row(GOOD, "address", (PUBLIC, "::1")),
    Row(GOOD, "address", ("::1", PUBLIC)),
    Row(GOOD, "address", (PUBLIC_V6, "fd00::1")),
    Row(GOOD, "address", (PUBLIC_V6, "10.0.0.1")),
    Row(GOOD, "name not resolved", (PUBLIC, "")),
]
SPECIAL_V6 = [
    IPv6Network(network)
    for network in (
        "::/3",  # unspecified, loopback, IPv4 in it, translation (64:ff9b::/96)
        "2001::/23",  # IETF protocols, Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
        "4000::/2",  # given to nobody
        "8000::/1",  # given to nobody, private, link-local, multicast
    )
]
RANGES_V6 = [
    Row(GOOD, "address", (str(address),))
    for network in SPECIAL_V6
    for address in (network[0], middle(network), network[-1])
]
NOTORIOUS_V6 = [
    Row(GOOD, "address", (address,))
    for address in (
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        f"::ffff:{PUBLIC}",
        "::ffff:0:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",  # AWS' metadata
        "ff02::1",
        f"{PUBLIC_V6}%1",  # a zone of a public address
    )
]
UNRESOLVED = [
    Row(GOOD, "name not resolved", answers)
    for answers in (
        (),
        ("[::1]",),
        ("127.0.0.1%lo",),
        ("",),
        (" ",),
        ("good.example",),
        ("localhost",),
        ("127.1",),
        ("127.0.1",),
        ("2130706433",),
        ("0x7f000001",),
        ("0x7f.0.0.1",),
        ("0177.0.0.1",),
        ("017700000001",),
        ("008.008.008.008",),
        ("8.8.8.8 ",),
        (" 8.8.8.8",),
        ("8.8.8.8\n",),
        ("8.8.8.8\x00",),
        ("8.8.8.8:443",),
        ("8.8.8.8/32",),
        ("8.8.8.256",),
        ("8.8.8",),
        ("8.8.8.8.8",),
        ("8..8.8",),
        ("-8.8.8.8",),
        ("٨.٨.٨.٨",),
        ("８.8.8.8",),
        OSError("no network"),
        ConnectionRefusedError("the resolver is down"),
        TimeoutError("the resolver is slow"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        socket.herror(1, "Unknown host"),
        UnicodeError("label empty or too long"),
        UnicodeEncodeError("idna", "x", 0, 1, "label too long"),
    )
]
GOOD_HOSTS = [
    # ports and schemes
    *[
        Row(f"{start}/a.png", "scheme or port")
        for start in (
            "http://good.example",
            "HTTP://good.example",
            "http://good.example:80",
            "http://good.example:443",
            "http://good.example:8080",
            "https://good.example:1",
            "https://good.example:22",
            "https://good.example:25",
            "https://good.example:80",
            "https://good.example:444",
            "https://good.example:6379",
            "https://good.example:8443",
            "https://good.example:00080",
            "https://good.example:65535",
            f"https://{PUBLIC}:80",
            f"http://{PUBLIC}",
        )
    ],
    *[
        Row(f"https://good.example:{port}/a.png", "port form")
        for port in ("0", "00", "00000", "65536", "65979", "99999")
    ],
    *[
        Row(f"https://good.example:{port}/a.png", "form")
        for port in (
            "",
            "000443",
            "100000",
            "4294967739",  # 443 in 32 bits
            "+443",
            "-443",
            " 443",
            "443 ",
            "4_43",
            "0x1bb",
            "443:443",
            "https",
            "４４３",
            "٤٤٣",
            "44³",
            "443@evil.example",
        )
    ],
    *[
        Row(url, "form")
        for url in (
            "",
            " ",
            "good.example",
            "good.example/a.png",
            "good.example:443/a.png",
            "//good.example/a.png",
            "///good.example/a.png",
            "/a.png",
            "://good.example/a.png",
            "https",
            "https:",
            "https:/",
            "https://",
            "https:///",
            "https:good.example/a.png",
            "https:/good.example/a.png",
            "https:///good.example/a.png",
            "https:////good.example/a.png",
            "https//good.example/a.png",
            "https;//good.example/a.png",
            "https:\\\\good.example\\a.png",
            "https:/\\good.example/a.png",
            "https://?good.example/a.png",
            "https:///a.png",
            "https://:443/a.png",
            "ftp://good.example/a.png",
            "FTP://good.example/a.png",
            "ftps://good.example/a.png",
            "file://good.example/etc/passwd",
            "file:///etc/passwd",
            "data:image/png;base64,iVBORw0KGgo=",
            "gopher://good.example:6379/_FLUSHALL",
            "jar:https://good.example/a.jar!/a.png",
            "dict://good.example:11211/stats",
            "ldap://good.example/",
            "ws://good.example/a.png",
            "wss://good.example/a.png",
            "blob:https://good.example/a.png",
            "view-source:https://good.example/a.png",
            "javascript:alert(1)//good.example",
            "unix:///run/docker.sock",
            "http+unix://good.example/a.png",
            "httpss://good.example/a.png",
            "shttps://good.example/a.png",
            "httpſ://good.example/a.png",
            "ｈttps://good.example/a.png",
            "url:https://good.example/a.png",
            "<https://good.example/a.png>",
            '"https://good.example/a.png"',
        )
    ],
    # userinfo, fragment, backslash
    *[
        Row(f"https://{rest}", "form")
        for rest in (
            "@good.example/a.png",
            ":@good.example/a.png",
            "user@good.example/a.png",
            "user:secret@good.example/a.png",
            "good.example@127.0.0.1/a.png",
            "good.example:443@127.0.0.1/a.png",
            "127.0.0.1@good.example/a.png",
            "evil.example%40good.example/a.png",
            "good.example%40evil.example/a.png",
            "good.example#/a.png",
            "good.example/a.png#",
            "good.example/a.png#top",
            "good.example#@evil.example/",
            "evil.example#@good.example/",
            "good.example\\a.png",
            "good.example/a\\b.png",
            "good.example\\@evil.example/",
            "evil.example\\@good.example/",
            "good.example\\.evil.example/",
            # white space and control characters
            "good.example /a.png",
            " good.example/a.png",
            "good.example/a b.png",
            "good.example/a.png ",
            "good.example/a.png\n",
            "good.example\n/a.png",
            "good.example\t/a.png",
            "goo\td.example/a.png",
            "goo\nd.example/a.png",
            "goo\rd.example/a.png",
            "good.example/a\r\nHost: evil.example",
            "good.example/a.png HTTP/1.1\r\nX: y",
            "good.example/\x00",
            "good.example\x00.evil.example/",
            "good.example/\x0b",
            "good.example/\x1f",
            "good.example/\x7f",
            "good.example/\x85",
            "good.example/\xa0",
            "good.example/\u2028",
            "\ufeffgood.example/a.png",
            "good\u200b.example/a.png",
            # not ASCII
            "good。example/a.png",
            "good．example/a.png",
            "good｡example/a.png",
            "ｇood.example/a.png",
            "gооd.example/a.png",  # Cyrillic
            "good.eⓧample/a.png",
            "good.example／a.png",
            "good.example／@evil.example/",
            "good.example？evil.example/",
            "good.example＠evil.example/",
            "good.example℀evil.example/",
            "bücher.example/a.png",
            "good.example/bücher.png",
            "good.example/\U0001f600.png",
            "good.example/\ud800.png",
            # percent signs
            "good%2eexample/a.png",
            "%67ood.example/a.png",
            "good.example%2f.evil.example/",
            "good.example%00.evil.example/",
            "good.example%23.evil.example/",
            "good.example/%",
            "good.example/%4",
            "good.example/%zz",
            "good.example/%%34%31",
            "good.example/%u0041",
            # what RFC 3986 does not allow in a host, path or query
            "[good.example]/a.png",
            "good_.example/a.png",
            "good*.example/a.png",
            "good,example/a.png",
            "good.example,evil.example/a.png",
            "good.example;evil.example/a.png",
            "good.example|evil.example/a.png",
            "good.example!/a.png",
            "{good.example}/a.png",
            "good.example/<a>.png",
            "good.example/{a}.png",
            "good.example/a|b.png",
            "good.example/a^b.png",
            "good.example/a`b.png",
            'good.example/a"b.png',
            "good.example/[a].png",
            "good.example&a.png",
        )
    ],
    *[
        Row(f"https://{host}/a.png", "host form")
        for host in (
            "good.example.",
            "good.example..",
            ".good.example",
            "good..example",
            ".",
            "..",
            "-",
            "-good.example",
            "good-.example",
            "good.-example",
            "good.example-",
            f"{'g' * 64}.example",
        )
    ],
    Row(f"https://{'g.' * 127}example/a.png", "form"),  # a host of 261
    Row(f"https://good.example/{'a' * MAX_URL}", "too long"),
    Row("https://good.example/".ljust(MAX_URL + 1, "a"), "too long"),
    Row("https://good.example/?".ljust(MAX_URL + 1, "?"), "too long"),
    Row(" " * (MAX_URL + 1), "too long"),
    Row("https://" + "user@" * MAX_URL + "good.example/", "too long"),
    # addresses that stand on the list and are private all the same
    Row("https://127.0.0.1/a.png", "address"),
    Row("https://10.0.0.1/a.png", "address"),
    Row("https://169.254.169.254/latest/meta-data/", "address"),
    Row("http://169.254.169.254/latest/meta-data/", "address"),
]
STRANGERS = [
    *[
        Row(f"https://{host}/a.png", "host not allowed")
        for host in (
            "evil.example",
            "good.example.evil.example",
            "good.example.evil.com",
            "evil-good.example",
            "evilgood.example",
            "evil.good.example",
            "www.good.example",
            "good.example.com",
            "good.exampl",
            "good.examples",
            "ood.example",
            "good-example",
            "goodexample",
            "example",
            "good",
            "g00d.example",
            "xn--good.example.evil.example",
            "xn--bcher-kva.example.evil.example",
            "bucher.example",
            "localhost",
            "LOCALHOST",
            "localhost.localdomain",
            "localtest.me",
            "127.0.0.1.nip.io",
            "127-0-0-1.sslip.io",
            "ip6-localhost",
            "host.docker.internal",
            "kubernetes.default.svc",
            "redis",
            "metadata",
            "metadata.google.internal",
            "METADATA.google.internal",
            "metadata.azure.internal",
            "instance-data.ec2.internal",
            "0.0.0.0",
            "8.8.8.8",
            "10.0.0.2",
            "127.0.0.2",
            "127.0.0.1.example",
            "168.63.129.16",
            "192.168.0.1",
            "255.255.255.255",
            "0xgood.example",
        )
    ],
    Row("http://evil.example/", "host not allowed"),
    Row("https://evil.example:8443/", "host not allowed"),
    Row("https://evil.example/good.example", "host not allowed"),
    Row("https://evil.example/@good.example", "host not allowed"),
    Row("https://evil.example?good.example", "host not allowed"),
    Row("https://evil.example/?@good.example/", "host not allowed"),
    Row("https://evil.example/https://good.example/", "host not allowed"),
    *[
        Row(f"https://{host}/a.png", "number form")
        for host in (
            "0",
            "1",
            "127.1",
            "127.0.1",
            "127.0.0.01",
            "127.0.0.0x1",
            "127.0.0.1.1",
            "127.0.0.256",
            "2130706433",
            "3232235521",
            "4294967295",
            "4294967296",
            "99999999999999999999",
            "017700000001",
            "0177.0.0.1",
            "0177.0.0.01",
            "00177.0.0.1",
            "000127.000.000.001",
            "0x7f.1",
            "0x7f000001",
            "0X7F000001",
            "0x7f.0x0.0x0.0x1",
            "0x7f.0.0.0x1",
            "0x",
            "127.0.0.0x",
            "0xa9fea9fe",
            "0xa9.0xfe.0xa9.0xfe",
            "0251.0376.0251.0376",
            "2852039166",
            "169.254.43518",
            "169.16689662",
            "good.example.1",
            "good.example.0x1",
            "good.123",
            "256.256.256.256",
            "1.2.3.4.5",
        )
    ],
    *[
        Row(f"https://{host}/a.png", "form")
        for host in (
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[fe80::1%25eth0]",
            "[fe80::1]",
            "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]",
            "[v1.fe80::a]",
            "::1",
            "[127.0.0.1]",
            "[",
            "127.0.0.1%lo",
            "127。0。0。1",
            "１２７.0.0.1",
            "①②⑦.⓪.⓪.①",
            "127%2e0%2e0%2e1",
            "ⓛocalhost",
            "localhoſt",
        )
    ],
    Row("https://127.0.0.1./a.png", "host form"),
    Row("https://localhost./a.png", "host form"),
    Row("https://.127.0.0.1/a.png", "number form"),
    Row("https://127..0.1/a.png", "number form"),
]
ANSWERED = [*RANGES, *NOTORIOUS, *RANGES_V6, *NOTORIOUS_V6, *MIXED, *UNRESOLVED]
TABLE = [*ANSWERED, *GOOD_HOSTS, *STRANGERS]
LITERALS = [
    Row(f"https://{address}:{port}/", "address") for address in ("10.0.0.1", "168.63.129.16") for port in (443, 8443)
]


class Names:
    """A resolver that gives one row's answers, whatever the name, and keeps what it was asked."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    async def __call__(self, host, port):
        self.asked.append((host, port))
        if isinstance(self.answers, Exception):
            raise self.answers
        return list(self.answers)


def ascii_ids(rows):
    return [ascii(f"{row.url[:60]} {row.answers!s:.60}").strip("'") for row in rows]


def test_the_table_is_not_thinned_out():
    assert len(set(map(str, TABLE))) == len(TABLE) >= 400
    assert len(ANSWERED) >= 140
    assert all(parse(row.url).host in LISTED for row in ANSWERED)
    assert {row.rule for row in TABLE} == {
        "too long",
        "form",
        "host form",
        "port form",
        "number form",
        "host not allowed",
        "scheme or port",
        "address",
        "name not resolved",
    }


@pytest.mark.parametrize("row", TABLE, ids=ascii_ids(TABLE))
async def test_a_hostile_address_is_refused_by_its_rule_before_anything_is_dialled(row):
    network, names = Recorder(), Names(row.answers)
    outside = Outside(REFERENCES, resolve=names, backend=network)

    with pytest.raises(AddressRefused) as refused:
        await outside.get(row.url)

    assert refused.value.rule == row.rule
    assert network.dialled == []
    assert names.asked == ([("good.example", 443)] if row in ANSWERED else [])


@pytest.mark.parametrize("verb", ["get", "post"])
@pytest.mark.parametrize("row", ANSWERED + LITERALS, ids=ascii_ids(ANSWERED + LITERALS))
async def test_a_webhook_to_any_host_is_refused_by_the_address_all_the_same(row, verb):
    network, names = Recorder(), Names(row.answers)
    outside = Outside(WEBHOOKS, resolve=names, backend=network)
    more = {} if verb == "get" else {"headers": {}, "body": b"{}"}

    with pytest.raises(AddressRefused) as refused:
        await getattr(outside, verb)(row.url.replace("good.example/", "any.example:8443/"), **more)

    assert refused.value.rule == row.rule
    assert network.dialled == []
    assert names.asked == ([] if row in LITERALS else [("any.example", 8443)])


@pytest.mark.parametrize(
    ("policy", "url", "dialled"),
    [
        (REFERENCES, GOOD, (PUBLIC, 443)),
        (REFERENCES, "HTTPS://GOOD.EXAMPLE:443", (PUBLIC, 443)),
        (REFERENCES, "https://good.example:00443?q", (PUBLIC, 443)),
        (REFERENCES, "https://good.example/".ljust(MAX_URL, "a"), (PUBLIC, 443)),
        (REFERENCES, f"https://{PUBLIC}/", (PUBLIC, 443)),
        (WEBHOOKS, "https://any.example:8443/", (PUBLIC, 8443)),
        (WEBHOOKS, "https://8.8.8.8/", ("8.8.8.8", 443)),
        (Policy(plain_ports=frozenset({80})), "http://any.example/", (PUBLIC, 80)),
        (Policy(networks=(IPv4Network("10.1.0.0/16"),)), "http://10.1.2.3:9000/", ("10.1.2.3", 9000)),
        (Policy(networks=(IPv6Network("fd00::/8"),)), GOOD, (PUBLIC, 443)),
    ],
)
async def test_what_no_rule_refuses_is_dialled_at_the_checked_address(policy, url, dialled):
    network = Recorder()

    with pytest.raises(FetchFailed) as failed:
        await Outside(policy, resolve=Names([PUBLIC]), backend=network).get(url)

    assert failed.value.rule == "ConnectError"
    assert network.dialled == [dialled]


@pytest.mark.parametrize(
    ("policy", "url", "found", "dialled"),
    [
        (REFERENCES, GOOD, [PUBLIC_V6], (PUBLIC_V6, 443)),
        (REFERENCES, GOOD, [PUBLIC_V6.upper()], (PUBLIC_V6, 443)),
        (WEBHOOKS, "https://any.example:8443/", [PUBLIC_V6, PUBLIC], (PUBLIC_V6, 8443)),
        (Policy(networks=(IPv6Network("fd00::/8"),)), "http://any.example:9000/", ["fd00::1"], ("fd00::1", 9000)),
    ],
)
async def test_a_name_with_an_address_of_ipv6_is_dialled_there(policy, url, found, dialled):
    network = Recorder()

    with pytest.raises(FetchFailed):
        await Outside(policy, resolve=Names(found), backend=network).get(url)

    assert network.dialled == [dialled]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://bücher.example/hook", "; use xn--bcher-kva.example"),
        ("https://BÜCHER.example:8443/hook?a=b", "xn--bcher-kva.example"),
        ("https://例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("https://straße.example/", "xn--…"),  # two rules (RFC 3490, RFC 5891), two names
        ("https://" + "ü" * 200, "xn--…"),
        ("https://" + "ü" * 300, None),
        ("https://good.example/bücher.png", None),
        ("https://good.example/", None),
        ("no address", None),
    ],
)
def test_a_host_in_letters_of_its_own_is_told_by_its_name_in_ascii(url, told):
    advice = ascii_advice(url)

    assert told in advice if told else advice == ""


@pytest.mark.parametrize(
    ("url", "answers", "rule"),
    [
        ("http://any.example/", [PUBLIC], "scheme or port"),
        ("https://any.example:8443/", [PUBLIC], "scheme or port"),
        ("http://any.example/", ["10.1.2.3", PUBLIC], "scheme or port"),
        ("http://any.example/", ["10.1.2.3", "10.2.0.0"], "address"),
        ("https://any.example/", ["10.0.255.255"], "address"),
        ("https://10.2.0.0/", [], "address"),
        ("https://127.0.0.1/", [], "address"),
    ],
)
async def test_an_open_network_opens_nothing_beyond_itself(url, answers, rule):
    network = Recorder()
    policy = Policy(networks=(IPv4Network("10.1.0.0/16"),))

    with pytest.raises(AddressRefused) as refused:
        await Outside(policy, resolve=Names(answers), backend=network).get(url)

    assert refused.value.rule == rule
    assert network.dialled == []


def test_references_come_from_listed_hosts_and_webhooks_go_to_any(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGE_REF_ALLOWED_HOSTS", "Good.example, 127.0.0.1")
    monkeypatch.setenv("IMAGE_REF_ALLOWED_NETWORKS", "127.0.0.0/8")
    monkeypatch.delenv("WEBHOOK_ALLOWED_NETWORKS", raising=False)
    settings = Settings.load()

    references = reference_policy(settings, "Ours.blob.example")

    hosts = frozenset({"good.example", "127.0.0.1"})
    assert references == Policy(hosts=hosts | {"ours.blob.example"}, networks=(IPv4Network("127.0.0.0/8"),))
    assert reference_policy(settings, None).hosts == hosts
    assert webhook_policy(settings) == WEBHOOKS


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "223.255.255.255"]
)
def test_an_address_beside_the_special_ranges_is_public(address):
    assert public(IPv4Address(address))


@given(st.ip_addresses(v=6))
def test_a_public_address_of_ipv6_is_in_no_special_range(address):
    special = any(address in network for network in SPECIAL_V6)

    assert public(address) == (address.is_global and not special)


@pytest.mark.parametrize("address", [PUBLIC_V6, "2001:200::1", "2001:4860:4860::8888", "2a00:1450::1", "2000::1"])
def test_an_address_of_ipv6_beside_the_special_ranges_is_public(address):
    assert public(IPv6Address(address))


near_the_edges = st.builds(
    lambda network, last, step: IPv4Address((int(network[-1 if last else 0]) + step) % 2**32),
    st.sampled_from(SPECIAL),
    st.booleans(),
    st.integers(-300, 300),
)


@given(st.ip_addresses(v=4) | near_the_edges)
def test_a_public_address_is_in_no_special_range(address):
    special = any(address in network for network in SPECIAL)

    assert public(address) == (address.is_global and not special)


hosts = st.text("aZ09.-x_%@\\", max_size=12) | st.sampled_from(["good.example", "1.2.3.4", "0x7f.1", "a" * 63])
ends = st.text("/?#%:@&=.;~'()[]{}|^`\\ \t\r\n\x00é2fF0", max_size=16)
ports = st.sampled_from(["", ":", ":0", ":00443", ":65535", ":65536", ":8o"]) | st.integers(0, 99_999).map(":{}".format)
schemes = st.sampled_from(["https://", "HTTP://", "hTTps://", "https:/", "https:///", "//", "ftp://", "https:\\\\", ""])
url_like = st.builds("{}{}{}{}".format, schemes, hosts, ports, ends)
from_the_alphabet = st.text("htpsHTPS:/.@#?%\\[]0129axg- \t\n", max_size=24).map("https://{}".format)
well_formed = st.from_regex(
    r"(?i:https?)://[a-zA-Z0-9][a-zA-Z0-9-]{0,8}(\.[a-z]{1,9}){0,3}(:[0-9]{1,5})?"
    r"([/?][A-Za-z0-9._~!$&'()*+,;=:@/?-]{0,20}(%[0-9a-fA-F]{2}){0,3})?",
    fullmatch=True,
)


@given(st.text() | url_like | from_the_alphabet | well_formed)
@example("https://good.example/a.png?x=1")
@example("https://1.2.3.4?x")
def test_an_address_is_refused_or_read_as_every_other_parser_reads_it(url):
    try:
        address = parse(url)
    except AddressRefused:
        return

    split = urlsplit(url)
    rebuilt = f"{address.scheme}://{address.host}:{address.port}{address.path}"
    assert parse(rebuilt) == address
    assert address.host.isascii()
    assert not set(address.host) & set("@\\#%/?:[]")
    assert not any(c.isspace() or not c.isprintable() for c in rebuilt)
    assert (address.scheme, address.host) == (split.scheme, split.hostname)
    assert address.port == (split.port or {"http": 80, "https": 443}[address.scheme])
    assert address.path in (wanted := url[len(split.scheme) + 3 + len(split.netloc) :] or "/", f"/{wanted}")
    assert (split.username, split.password, split.fragment) == (None, None, "")


@given(st.ip_addresses(v=4), st.sampled_from([443, 8443]))
def test_a_literal_is_dialled_only_when_it_is_public(ip, port):
    address = parse(f"https://{ip}:{port}/")

    assert address == Address("https", str(ip), port, "/", ip)
    if public(ip):
        check(address, WEBHOOKS)
    else:
        with pytest.raises(AddressRefused, match=r"^address$"):
            check(address, WEBHOOKS)


pieces = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 ",
        b"101 Switching\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: ",
        b"99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Connection: upgrade\r\n",
        b"5\r\nabcde\r\n",
        b"0\r\n\r\n",
        b" folded\r\n",
        b"hello",
    ]
)


@given(st.lists(pieces | st.binary(min_size=1, max_size=8), max_size=12), st.booleans())
async def test_whatever_a_far_end_says_is_an_answer_or_a_failure(said, begun):
    network = httpcore.AsyncMockBackend([b"HTTP/1.1 200 OK\r\n", *said] if begun else said)
    client = Outside(REFERENCES, resolve=Names([PUBLIC]), backend=network, ssl_context=TLS)

    try:
        got = await client.get(GOOD, most=20)
    except FetchFailed:
        return

    assert len(got) <= 20
