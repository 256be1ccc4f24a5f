"""Network links with their state, counters and addresses, and the default routes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tidegate.host import phrase, shape
from tidegate.host.fact import Observed
from tidegate.host.facts.addresses import Address, read_addresses, read_default_routes
from tidegate.host.reading import printable
from tidegate.host.tree import Tree

LINKS: Final = 128
IFF_UP: Final = 0x1
"""linux/if.h: somebody wants this link to be up."""
_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5,19}")
_COUNTERS: Final = ("bytes", "packets", "errors", "dropped")

_ADDRESS: Final = shape.record(
    {
        "family": {"type": "string", "enum": ["ipv4", "ipv6"], "description": "Address family"},
        "address": shape.string("Address", null=False),
        "prefix_bits": shape.integer("Length of the network prefix"),
        "scope": shape.string("`global`, `link`, `site` or `host`", null=False),
    }
)


class Network:
    name = "network"
    title = "Network links"
    description = (
        "Network links with state, MAC address, MTU, speed, traffic and error counters and IP addresses, and the "
        "default routes."
    )
    inputs = shape.NO_ARGUMENTS
    ttl_ms = 1000
    outputs = shape.record(
        {
            "links": shape.array(
                shape.record(
                    {
                        "name": shape.string("Name", null=False),
                        "operstate": shape.string("`up`, `down`, `dormant`, `unknown`, …"),
                        "enabled": shape.boolean("Switched on by configuration"),
                        "carrier": shape.boolean("Cable or radio connected"),
                        "physical": shape.boolean("Backed by a device", null=False),
                        "wireless": shape.boolean("Radio", null=False),
                        "mac": shape.string("Hardware address"),
                        "mtu_bytes": shape.integer("Largest packet"),
                        "speed_mbit_per_s": shape.integer("Negotiated speed"),
                        **{
                            f"{way}_{what}": shape.integer(f"{what.capitalize()} {done} since boot")
                            for way, done in (("rx", "received"), ("tx", "sent"))
                            for what in _COUNTERS
                        },
                        "addresses": shape.array(_ADDRESS, "IP addresses"),
                    }
                ),
                "In order of name, loopback first",
            ),
            "other_addresses": shape.array(_ADDRESS, "IP addresses whose link is not known (point-to-point)"),
            "default_routes": shape.array(
                shape.record(
                    {
                        "family": {"type": "string", "enum": ["ipv4", "ipv6"], "description": "Address family"},
                        "link": shape.string("Through this link"),
                        "gateway": shape.string("Through this router; null when the link is the way"),
                        "metric": shape.integer("Lower wins"),
                    }
                ),
                "Ways to the rest of the world, best first",
            ),
        }
    )

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def observe(self, arguments: Mapping[str, Any]) -> Observed:
        addresses = read_addresses(self._tree)
        names = self._tree.names("sys/class/net", LINKS)
        links = [
            self._link(name, [address for address in addresses if address.link == name])
            for name in sorted(names, key=lambda name: name != "lo")
            if self._tree.exists(f"sys/class/net/{name}/mtu")  # `bonding_masters` is a file
        ]
        return {
            "links": links,
            "other_addresses": [_show(address) for address in addresses if address.link not in names],
            "default_routes": [
                {
                    "family": route.family,
                    "link": printable(route.link, 64),
                    "gateway": route.gateway,
                    "metric": route.metric,
                }
                for route in read_default_routes(self._tree)
            ],
        }

    def describe(self, observed: Observed) -> str:
        lines = []
        for link in observed["links"]:
            addresses = ", ".join(
                address["address"] + ("" if address["prefix_bits"] is None else f"/{address['prefix_bits']}")
                for address in link["addresses"]
            )
            lines.append(
                f"{link['name']}: {phrase.plain(link['operstate'])}, {addresses or 'no address'}, "
                f"received {phrase.size(link['rx_bytes'])}, sent {phrase.size(link['tx_bytes'])}"
            )
        for route in observed["default_routes"]:
            via = "" if route["gateway"] is None else f" via {route['gateway']}"
            lines.append(f"Default route ({route['family']}){via} on {phrase.plain(route['link'])}")
        if not observed["default_routes"]:
            lines.append("No default route")
        return "\n".join(lines)

    def _link(self, name: str, addresses: list[Address]) -> Observed:
        tree, base = self._tree, f"sys/class/net/{name}"
        mac = tree.word(f"{base}/address")
        if mac is not None and (not _MAC.fullmatch(mac) or not mac.strip("0:")):
            mac = None
        carrier = tree.whole(f"{base}/carrier", high=1)
        return {
            "name": printable(name, 64) or "?",
            "operstate": tree.word(f"{base}/operstate"),
            "enabled": self._enabled(base),
            "carrier": None if carrier is None else carrier == 1,
            "physical": tree.exists(f"{base}/device"),
            "wireless": tree.exists(f"{base}/wireless") or tree.exists(f"{base}/phy80211"),
            "mac": mac,
            "mtu_bytes": tree.whole(f"{base}/mtu", high=2**31),
            "speed_mbit_per_s": tree.whole(f"{base}/speed", low=1, high=2**31 - 2),
            **{
                f"{way}_{what}": tree.whole(f"{base}/statistics/{way}_{what}")
                for way in ("rx", "tx")
                for what in _COUNTERS
            },
            "addresses": [_show(address) for address in addresses],
        }

    def _enabled(self, base: str) -> bool | None:
        text = self._tree.word(f"{base}/flags")
        if text is None or not re.fullmatch(r"0x[0-9a-f]{1,8}", text):
            return None
        return bool(int(text, 16) & IFF_UP)


def _show(address: Address) -> Observed:
    return {
        "family": address.family,
        "address": address.address,
        "prefix_bits": address.prefix_bits,
        "scope": address.scope,
    }
