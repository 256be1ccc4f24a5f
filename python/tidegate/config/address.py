"""`host:port` as people write it, and which hosts stay on this machine.

Used by the schema, by command-line flags and by the listeners. Never resolves a name.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

DEFAULT_HOST: Final = "127.0.0.1"
"""What `:8080` and `8080` bind: loopback, because no host was asked for."""

_HOSTNAME: Final = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?"
)


def parse_host_port(text: str) -> tuple[str, int]:
    """Splits `127.0.0.1:0`, `[::1]:80`, `localhost:80`, `:8080` or `8080`; the host comes without brackets.

    Raises: ValueError whose message says what was expected.
    """
    stripped = text.strip()
    if stripped.startswith("["):
        host, closed, rest = stripped[1:].partition("]")
        if not closed or not rest.startswith(":"):
            raise ValueError(f"expected `[IPv6]:port` such as `[::1]:8808`, got `{text}`")
        port_text = rest[1:]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"expected an IPv6 address between the brackets, got `{text}`") from None
    else:
        host, separator, port_text = stripped.rpartition(":")
        if not separator:
            host = ""
        if ":" in host:
            raise ValueError(f"expected brackets around an IPv6 address, such as `[::1]:8808`, got `{text}`")
        if host and not _is_ipv4_or_name(host):
            raise ValueError(f"expected `host:port` such as `127.0.0.1:8808`, got `{text}`")
    if not port_text.isascii() or not port_text.isdigit() or int(port_text) > 65535:
        raise ValueError(f"expected `host:port` with a port from 0 to 65535, got `{text}`")
    return host or DEFAULT_HOST, int(port_text)


def format_host_port(host: str, port: int) -> str:
    """The inverse: IPv6 addresses get their brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether binding `host` is reachable from this machine only. Brackets and zone ids are accepted.

    A name other than `localhost` counts as public: nobody can tell what it resolves to tomorrow.
    """
    bare = host.strip().removeprefix("[").removesuffix("]").partition("%")[0]
    if bare.lower().removesuffix(".") == "localhost" or bare.lower().endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_ipv4_or_name(host: str) -> bool:
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return False
        return True
    return _HOSTNAME.fullmatch(host) is not None
