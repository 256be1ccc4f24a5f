"""An address that the gateway is to listen on cannot be bound."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.sockets import listeners
from tidegate.config.address import parse_host_port


def _look(case: Case) -> Iterator[Finding]:
    if case.snapshot is None or (case.running is not None and not case.files):
        return  # it runs without a file, on the addresses of its flags
    ours = set(case.running.listen) if case.running is not None else set()
    listen = case.snapshot.listen
    for key, addresses in (("http", listen.http), ("tcp", listen.tcp), ("admin", (listen.admin,))):
        for address in addresses:
            if address and address not in ours and not address.endswith(":0"):
                yield from _try(address, key)


def _try(address: str, key: str) -> Iterator[Finding]:
    host, port = parse_host_port(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        yield _finding(
            address, key, f"the name `{host}` has no address: {error.strerror}", "write an address of this box"
        )
        return
    for family, kind, protocol, _, where in found[:1]:
        with socket.socket(family, kind, protocol) as sock:
            # As the daemon binds: what only lingers from a connection that was closed is not in the way.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(where)
            except OSError as error:
                yield _explained(address, key, port, error)


def _explained(address: str, key: str, port: int, error: OSError) -> Finding:
    if error.errno == errno.EADDRINUSE:
        return _taken(address, key, port)
    if error.errno == errno.EACCES:
        return _finding(
            address,
            key,
            f"bound it: {error.strerror}; ports below {_first_free()} are for root",
            "take a higher port, or give the service that right (after `systemctl edit tidegate`)",
            ("[Service]", "AmbientCapabilities=CAP_NET_BIND_SERVICE", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"),
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return _finding(
            address, key, f"bound it: {error.strerror}", "write an address of this box", ("ip -brief address",)
        )
    return _finding(address, key, f"bound it: {error.strerror}", "choose another address")


def _taken(address: str, key: str, port: int) -> Finding:
    other = f'{key} = "{address.rpartition(":")[0] or "127.0.0.1"}:0"'
    holders = listeners(port)
    for holder in holders:
        if holder.pid == 1 and holder.program == "systemd":
            return Finding(
                "note",
                f"`{address}` (`listen.{key}`) is held by systemd for a socket unit",
                f"port {port} is held by pid 1",
                "if that is `tidegate.socket`, all is well: the service gets it; a gateway started by hand does not",
                "see whose it is",
                ("systemctl list-sockets",),
            )
        if holder.pid is not None:
            return _finding(
                address,
                key,
                f"port {port} is held by `{holder.program}` (pid {holder.pid}, user {holder.user})",
                "end that program if it should not be there, or choose another port; 0 picks a free one",
                (f"ps -fp {holder.pid}", "[listen]", other),
            )
    users = ", ".join(dict.fromkeys(holder.user for holder in holders)) or "unknown"
    return _finding(
        address,
        key,
        f"port {port} is held by a process of user {users}, which this user may not look at (uid {os.getuid()})",
        "ask as root who it is (it may be `tidegate.socket` of systemd), or choose another port; 0 picks a free one",
        (f"sudo ss -ltnp 'sport = :{port}'", "[listen]", other),
    )


def _first_free() -> str:
    try:
        return Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii").strip()
    except OSError:
        return "1024"


def _finding(address: str, key: str, found: str, fix: str, paste: tuple[str, ...] = ()) -> Finding:
    return Finding(
        "error",
        f"`{address}` (`listen.{key}`) cannot be listened on",
        found,
        "the gateway does not start",
        fix,
        paste,
    )


CHECK = BoxCheck("ports", "the addresses to listen on are free, and who holds them if not", _look)
