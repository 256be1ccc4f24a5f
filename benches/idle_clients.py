"""What a client costs the daemon that is there and says nothing: bytes of memory, by kind of client."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from engines import gateway, has_relay, http_url, stdio_table, tcp_port
from processes import Process, memory_kib
from wire import CALL, SESSION_CALL, ask_line, connect, headers, http_session, post, post_on

CALLS = 2
"""Each client's: the second may go another way than the first."""


def http_client(daemon: Process, until: ExitStack) -> None:
    url = http_url(daemon)
    connection = connect(url)
    until.callback(connection.close)
    for _ in range(CALLS):
        post_on(connection, url, CALL, headers("tools/call", "echo"))


def tcp_client(daemon: Process, until: ExitStack) -> None:
    connection = socket.create_connection(("127.0.0.1", tcp_port(daemon)), 20)
    until.callback(connection.close)
    for _ in range(CALLS):
        ask_line(connection, CALL)


def session_client(daemon: Process, until: ExitStack) -> None:
    """A session of 2025-11-25 whose client has closed its connections, as most have between two calls."""
    del until
    url = http_url(daemon)
    session = http_session(url)
    for _ in range(CALLS):
        post(url, SESSION_CALL, headers(session=session))


def connected_session_client(daemon: Process, until: ExitStack) -> None:
    url = http_url(daemon)
    session = http_session(url)
    connection = connect(url)
    until.callback(connection.close)
    for _ in range(CALLS):
        post_on(connection, url, SESSION_CALL, headers(session=session))


KINDS: dict[str, Callable[[Process, ExitStack], None]] = {
    "HTTP connection": http_client,
    "TCP connection": tcp_client,
    "legacy session, not connected": session_client,
    "legacy session and its connection": connected_session_client,
}


def memory_per_client(count: int) -> dict[str, Any]:
    """Bytes that each of `count` clients adds to as many others, by kind and engine; a daemon each.

    The first ones use up what starting has left free, and would look cheaper than they are. PSS is not for this: it
    grows when another process ends that shared pages.
    """
    daemons: dict[str, list[str]] = {"relay": [], "slow lane": ["--no-relay"]} if has_relay() else {"slow lane": []}
    return {
        kind: {engine: _growth(flags, arrive, count) for engine, flags in daemons.items()}
        for kind, arrive in KINDS.items()
    }


def _growth(flags: list[str], arrive: Callable[[Process, ExitStack], None], count: int) -> dict[str, float]:
    with ExitStack() as until:
        daemon = gateway("idle", stdio_table(), *flags, tcp=True)
        until.callback(daemon.end)
        for _ in range(count):
            arrive(daemon, until)
        time.sleep(0.3)
        before = memory_kib(daemon.pid)
        for _ in range(count):
            arrive(daemon, until)
        time.sleep(0.3)
        after = memory_kib(daemon.pid)
    return {name: (after[name] - before[name]) * 1024 / count for name in before}
