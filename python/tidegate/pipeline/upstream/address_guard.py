"""Where the name of a host may lead, for requests that somebody else made up.

Whoever answers for a name decides what it resolves to, and may decide anew for each request (DNS rebinding): to this
box, which has services that trust it, or to the address where a cloud hands out credentials. So a name is held against
the address it led to, each time a connection is opened; the address that was judged is the one that is connected to.
Addresses of the local network are let through: that is where an edge box has its printers and sensors.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_METADATA: Final = frozenset(
    (
        ip_address("100.100.100.200"),
        ip_address("192.0.0.192"),
        ip_address("fd00:ec2::254"),
        ip_address("fd20:ce::254"),
    )
)
"""Of clouds that have it at other than a link-local address."""

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052, 2.1."""
_COMPATIBLE: Final = IPv6Network("::/96")
"""RFC 4291, 2.5.5.1: no longer in use, but understood by some."""


def may_lead_to(host: str, address: str, own: bool) -> bool:
    """Whether a request to `host`, as it stands in a URL, without brackets, may go to `address`.

    `own`: whether that is known to be an address of this box. There are others than the loopback ones, and they show
    only once a connection is made.

    An address that was written as one leads to itself, whichever it is: somebody has granted just that.
    """
    where = _parsed(address)
    if where is None:
        return False
    if host == "localhost":
        return where.is_loopback
    literal = _parsed(host)
    if literal is not None:
        return literal == where
    return not own and _is_elsewhere(where)


def is_address(host: str) -> bool:
    """Nobody has to be asked where it leads."""
    return _parsed(host) is not None


def _is_elsewhere(address: IPv4Address | IPv6Address) -> bool:
    """Neither this box, nor what is nobody's address."""
    inner = _inner(address) if isinstance(address, IPv6Address) else None
    if inner is not None:
        return _is_elsewhere(inner)
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address.is_reserved
        or (isinstance(address, IPv4Address) and address.packed[0] == 0)
        or address in _METADATA
    )


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this one end up at."""
    mapped = address.ipv4_mapped or address.sixtofour
    if mapped is not None:
        return mapped
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
