"""The rule about public addresses: without authentication, the gateway stays on this machine.

Checked when a configuration is validated, and again by `serve` when command-line flags have changed the addresses;
so it stands here, without the validator below.
"""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.config.address import is_loopback, parse_host_port
from tidegate.config.snapshot import Listen


@dataclass(frozen=True, slots=True)
class Exposure:
    """One address that must not be bound."""

    key: str
    """`http`, `tcp` or `admin`: the key in `[listen]`, and the flag of `serve`."""
    index: int
    address: str
    message: str
    """With the way out."""


def refused_addresses(listen: Listen, has_clients: bool) -> list[Exposure]:
    """The public addresses in `listen` that nobody guards. Empty when all is well, or `allow_public` is set.

    The admin listener knows no tokens, so clients do not make it safe.
    """
    if listen.allow_public:
        return []
    refused = []
    guarded = () if has_clients else (("http", listen.http), ("tcp", listen.tcp))
    for key, addresses in guarded:
        for index, address in enumerate(addresses):
            if not is_loopback(parse_host_port(address)[0]):
                refused.append(
                    Exposure(
                        key,
                        index,
                        address,
                        f"`{address}` is reachable from other machines and no client has a token; make one with "
                        "`tidegate token new NAME --config FILE`, bind `127.0.0.1`, or set `allow_public = true` in "
                        "`[listen]` to let everyone in",
                    )
                )
    if listen.admin and not is_loopback(parse_host_port(listen.admin)[0]):
        refused.append(
            Exposure(
                "admin",
                0,
                listen.admin,
                f"`{listen.admin}` is reachable from other machines and the admin listener asks for no token; bind "
                "`127.0.0.1`, or set `allow_public = true` in `[listen]`",
            )
        )
    return refused
