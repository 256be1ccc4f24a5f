"""More people can come in than may have been meant: a socket for all users, an address for all machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.address import is_loopback, parse_host_port

_OTHERS: Final = 0o002
"""Connecting to a unix socket takes the right to write to it."""


def _look(case: Case) -> Iterator[Finding]:
    if case.snapshot is None:
        return
    listen = case.snapshot.listen
    if listen.unix and listen.unix_mode & _OTHERS:
        yield Finding(
            "warning",
            "every user of this box may call every tool",
            f"`listen.unix_mode` is {listen.unix_mode:04o}; whoever may write to the unix socket is let in",
            "servers that read files or run commands do so with the rights of the gateway",
            "let a group in, and put those users into it",
            ("[listen]", 'unix_mode = "0660"', "# then: chgrp GROUP on the directory of the socket, mode 2770"),
        )
    if case.snapshot.clients:
        return
    for address in (*listen.http, *listen.tcp):
        if not is_loopback(parse_host_port(address)[0]):
            yield Finding(
                "warning",
                f"whoever reaches `{address}` may call every tool",
                "it is no loopback address, `allow_public` is set, and no client has a token",
                "servers that read files or run commands do so for every machine on the network",
                "give clients tokens; then nobody comes in without one",
                (f"tidegate token new laptop --config {case.files[0] if case.files else 'tidegate.toml'}",),
            )


CHECK = BoxCheck("open_doors", "nobody comes in who hardly was meant to", _look)
