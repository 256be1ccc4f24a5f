"""IP addresses and default routes out of the kernel's text tables in /proc/net.

IPv4 addresses stand in `fib_trie` without their link; the link is the one whose directly connected route in
`route` covers the address most closely. An address no such route covers (a point-to-point tunnel) has none.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from typing import Final

from tidegate.host.reading import whole
from tidegate.host.tree import Tree

ADDRESSES: Final = 512
ROUTES: Final = 4096
RTF_UP: Final = 0x1
RTF_GATEWAY: Final = 0x2
RTF_REJECT: Final = 0x200
"""linux/route.h."""
SCOPES: Final = {0x00: "global", 0x10: "host", 0x20: "link", 0x40: "site"}
"""Address scopes in if_inet6 (net/ipv6.h, IPV6_ADDR_SCOPE_MASK)."""


@dataclass(frozen=True, slots=True)
class Address:
    """`link` is None where the table does not tell."""

    link: str | None
    family: str
    address: str
    prefix_bits: int | None
    scope: str


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    link: str
    family: str
    gateway: str | None
    metric: int | None


@dataclass(frozen=True, slots=True)
class _Route4:
    """A line of /proc/net/route; addresses as numbers."""

    link: str
    destination: int
    gateway: int
    flags: int
    metric: int | None
    mask: int


def read_addresses(tree: Tree) -> list[Address]:
    return (_ipv4(tree) + _ipv6(tree))[:ADDRESSES]


def read_default_routes(tree: Tree) -> list[DefaultRoute]:
    """Best (lowest metric) first, IPv4 before IPv6."""
    four = [
        DefaultRoute(route.link, "ipv4", _dotted(route.gateway) if route.flags & RTF_GATEWAY else None, route.metric)
        for route in _routes4(tree)
        if route.destination == 0 and route.mask == 0 and route.flags & RTF_UP and not route.flags & RTF_REJECT
    ]
    six = []
    for line in tree.lines("proc/net/ipv6_route")[:ROUTES]:
        words = line.split()
        if len(words) < 10 or words[0] != "0" * 32 or words[1] != "00" or words[9] == "lo":
            continue
        flags, metric, gateway = _hex(words[8], 8), _hex(words[5], 8), _address6(words[4])
        if flags is None or not flags & RTF_UP or flags & RTF_REJECT:
            continue
        six.append(DefaultRoute(words[9], "ipv6", gateway if flags & RTF_GATEWAY else None, metric))
    return [*sorted(four, key=_metric), *sorted(six, key=_metric)][:64]


def _metric(route: DefaultRoute) -> int:
    return 2**32 if route.metric is None else route.metric


def _ipv4(tree: Tree) -> list[Address]:
    direct = [
        route
        for route in _routes4(tree)
        if route.flags & RTF_UP and not route.flags & (RTF_GATEWAY | RTF_REJECT) and route.mask
    ]
    found: dict[int, Address] = {}
    last = None
    for line in tree.lines("proc/net/fib_trie"):
        words = line.split()
        if len(words) == 2 and words[0] == "|--":
            last = _number4(words[1])
        elif words == ["/32", "host", "LOCAL"] and last is not None and last not in found and len(found) < ADDRESSES:
            found[last] = _place4(last, direct)
    return list(found.values())


def _place4(number: int, direct: list[_Route4]) -> Address:
    if number >> 24 == 127:  # loopback routes stand in the local table, not in /proc/net/route
        return Address("lo", "ipv4", _dotted(number), 8, "host")
    scope = "link" if number >> 16 == 0xA9FE else "global"
    covering = [route for route in direct if number & route.mask == route.destination]
    if not covering:
        return Address(None, "ipv4", _dotted(number), None, scope)
    best = max(covering, key=lambda route: route.mask)
    return Address(best.link, "ipv4", _dotted(number), best.mask.bit_count(), scope)


def _ipv6(tree: Tree) -> list[Address]:
    found = []
    for line in tree.lines("proc/net/if_inet6")[:ADDRESSES]:
        words = line.split()
        if len(words) != 6:
            continue
        address, bits, scope = _address6(words[0]), _hex(words[2], 2), _hex(words[3], 2)
        if address is None or bits is None or bits > 128 or scope is None:
            continue
        found.append(Address(words[5], "ipv6", address, bits, SCOPES.get(scope & 0xF0, "global")))
    return found


def _routes4(tree: Tree) -> list[_Route4]:
    routes = []
    for line in tree.lines("proc/net/route")[1:ROUTES]:
        words = line.split()
        if len(words) < 8:
            continue
        destination, gateway, mask = (_network_order(word) for word in (words[1], words[2], words[7]))
        flags = _hex(words[3], 8)
        if destination is None or gateway is None or mask is None or flags is None:
            continue
        routes.append(_Route4(words[0], destination, gateway, flags, whole(words[6]), mask))
    return routes


def _hex(text: str, digits: int) -> int | None:
    if not 1 <= len(text) <= digits or text.strip("0123456789abcdefABCDEF"):
        return None
    return int(text, 16)


def _network_order(text: str) -> int | None:
    """The kernel prints a big-endian address as a number of its own byte order."""
    number = _hex(text, 8)
    return None if number is None else int.from_bytes(number.to_bytes(4, sys.byteorder), "big")


def _number4(text: str) -> int | None:
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):
        return None


def _dotted(number: int) -> str:
    return socket.inet_ntop(socket.AF_INET, number.to_bytes(4, "big"))


def _address6(text: str) -> str | None:
    number = _hex(text, 32) if len(text) == 32 else None
    return None if number is None else socket.inet_ntop(socket.AF_INET6, number.to_bytes(16, "big"))
