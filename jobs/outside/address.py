"""Which addresses that callers name may be asked, and why not."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from jobs.settings import Settings

MAX_URL: Final = 2_048
"""Characters."""
PORTS: Final = {"http": 80, "https": 443}
"""The port of a scheme where a URL names none."""

_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]{1,253})(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>[/?](?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?",
    re.IGNORECASE | re.ASCII,
)
"""RFC 3986 without userinfo, fragment, IPv6 literals and everything that parsers disagree about."""
_HOST: Final = re.compile(r"https?://([^\s/?#@:\\]{1,253})(?![^\s/?#@:\\])", re.IGNORECASE)
"""A host in whatever letters; it is only looked at, and never dialled."""
_NAME: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
"""RFC 1123 labels; no trailing dot."""
_NOT_PUBLIC: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's wire server
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
"""IANA's special-purpose registry, and what it leaves out."""
_GLOBAL_V6: Final = IPv6Network("2000::/3")
"""All that is given out as public (RFC 4291): IPv4 in other clothes (`::ffff:0:0/96`, `64:ff9b::/96`) lies outside."""
_NOT_PUBLIC_V6: Final = tuple(
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
IP = IPv4Address | IPv6Address
"""An address that a name has."""


class OutsideError(Exception):
    """The address may not be dialled, or its answer may not be used. `rule` names what refused it, for logs."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class AddressRefused(OutsideError):
    """Refused before a socket was opened."""


class FetchFailed(OutsideError):
    """The far end could not be reached in time, or answered what is not taken."""


class Policy(Struct, frozen=True, kw_only=True):
    """Which addresses one use may dial.

    `ports` are those of https for any public host; `hosts`: exact names that may be asked, None: any. An address
    inside `networks` is exempt from the refusal of private addresses, and may be plain http on any port.
    """

    ports: frozenset[int] = frozenset({443})
    plain_ports: frozenset[int] = frozenset()
    hosts: frozenset[str] | None = None
    networks: tuple[IPv4Network | IPv6Network, ...] = ()


class Address(Struct, frozen=True):
    """A URL taken apart; `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str
    literal: IPv4Address | None = None


def reference_policy(settings: Settings, own_storage_host: str | None) -> Policy:
    """For reference images and masks: https on 443, hosts of the allowlist."""
    own = {own_storage_host.lower()} if own_storage_host else set()
    return Policy(hosts=frozenset(own | settings.image_ref_allowed_hosts), networks=settings.image_ref_allowed_networks)


def anywhere_policy(settings: Settings) -> Policy:
    """For pictures that a page names: any public host, https on 443 and http on 80."""
    return Policy(plain_ports=frozenset({80}), networks=settings.image_ref_allowed_networks)


def webhook_policy(settings: Settings) -> Policy:
    """For webhooks: https on 443 and 8443, any public host."""
    return Policy(ports=frozenset({443, 8443}), networks=settings.webhook_allowed_networks)


def parse(url: str) -> Address:
    """Take a URL apart by one strict ASCII grammar. Raises `AddressRefused`."""
    if len(url) > MAX_URL:
        raise AddressRefused("too long")
    found = _URL.fullmatch(url)
    if found is None:
        raise AddressRefused("form")
    host = found["host"].lower()
    literal = _literal(host)
    if literal is None and not _NAME.fullmatch(host):
        raise AddressRefused("host form")
    scheme = found["scheme"].lower()
    port = int(found["port"]) if found["port"] else PORTS[scheme]
    if not 0 < port < 65_536:  # noqa: PLR2004  # RFC 793
        raise AddressRefused("port form")
    path = found["path"] or "/"
    return Address(scheme, host, port, path if path.startswith("/") else f"/{path}", literal)


def check(address: Address, policy: Policy) -> None:
    """Everything that can be said without asking the network. Raises `AddressRefused`."""
    if policy.hosts is not None and address.host not in policy.hosts:
        raise AddressRefused("host not allowed")
    if address.literal is not None:
        check_ip(address, address.literal, policy)
    elif not policy.networks:
        _check_port(address, policy)


def public(ip: IP) -> bool:
    """Whether an IP is one of the public internet; `is_global` alone passes metadata servers and multicast."""
    if isinstance(ip, IPv4Address):
        return ip.is_global and not any(ip in network for network in _NOT_PUBLIC)
    special = ip.scope_id is not None or any(ip in network for network in _NOT_PUBLIC_V6)
    return ip in _GLOBAL_V6 and ip.is_global and not special


def ascii_advice(url: str) -> str:
    """`; use xn--…` for a URL whose host is written in other letters than ASCII, else nothing."""
    host = found[1].lower() if (found := _HOST.match(url)) else ""
    if host.isascii():
        return ""
    try:
        name = host.encode("idna")
        known = name.decode("idna") == host  # not so for letters that IDNA's two versions read differently
    except UnicodeError:
        known = False
    return f"; use {name.decode() if known else 'the name in ASCII, xn--…'}"


def check_ip(address: Address, ip: IP, policy: Policy) -> None:
    """Whether an IP that an address resolved to may be dialled. Raises `AddressRefused`."""
    if any(ip in network for network in policy.networks):
        return
    if not public(ip):
        raise AddressRefused("address")
    _check_port(address, policy)


def _check_port(address: Address, policy: Policy) -> None:
    if address.port not in (policy.ports if address.scheme == "https" else policy.plain_ports):
        raise AddressRefused("scheme or port")


def _literal(host: str) -> IPv4Address | None:
    """The IP that a host in digits is; only the canonical dotted quad is taken for one (no `0x7f.1`, `127.1`)."""
    last = host.rpartition(".")[2]
    if not (last.isdigit() or last.startswith("0x")):
        return None
    try:
        return IPv4Address(host)
    except ValueError:
        raise AddressRefused("number form") from None
