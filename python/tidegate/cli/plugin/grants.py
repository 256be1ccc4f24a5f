"""What is granted when a plugin is added: what `--grant` says, or what it asks for with a yes.

Nothing is granted because it was asked for alone. A folder is never granted by a yes: which one it is has to be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from tidegate.cli import exit_codes
from tidegate.cli.refused import Refused
from tidegate.config.snapshot import Grants
from tidegate.sandbox.manifest import Asks

NOTHING: Final = "none"
SPELLINGS: Final = (
    "log, time, random, store[=BYTES], http[=HOST,...], call[=PATTERN,...], read:/PATH=DIR, write:/PATH=DIR, none"
)


def with_a_yes(asks: Asks) -> Grants:
    """All that is asked for, but for what has to be named."""
    return Grants(
        http=tuple(host for host in asks.http if host != "*"),
        store_bytes=asks.store_bytes,
        log=asks.log,
        time=asks.time,
        random=asks.random,
        call=asks.call,
    )


def spelled_out(words: Sequence[str], asks: Asks, start: Grants) -> Grants:
    """`start`, and what each `--grant` says; whether the configuration takes that is still to be seen.

    Raises: Refused, also for what is not asked for.
    """
    grants = start
    for word in words:
        name, _, value = word.partition("=")
        kind, _, inside = name.partition(":")
        if word == NOTHING:
            continue
        if kind in ("read", "write") and inside:
            grants = _folder(kind, inside, value, asks, grants)
        elif name in ("log", "time", "random") and not value:
            grants = _plain(name, True, asks, grants)
        elif name == "store":
            grants = _plain("store_bytes", _bytes(value, asks.store_bytes), asks, grants)
        elif name == "http":
            grants = _plain("http", _hosts(value, asks), asks, grants)
        elif name == "call":
            grants = _plain("call", tuple(filter(None, value.split(","))) or asks.call, asks, grants)
        else:
            raise Refused(f"`--grant {word}`: expected one of {SPELLINGS}", exit_codes.USAGE)
    return grants


def as_table(grants: Grants) -> dict[str, Any]:
    """What of it a configuration has to say."""
    table: dict[str, Any] = {}
    for one in fields(Grants):
        value = getattr(grants, one.name)
        if value:
            table[one.name] = (
                dict(value)
                if one.name in ("folders", "writable")
                else list(value)
                if isinstance(value, tuple)
                else value
            )
    return table


def _plain(name: str, value: Any, asks: Asks, grants: Grants) -> Grants:
    if not getattr(asks, name):
        raise Refused(f"it does not ask for `{name.removesuffix('_bytes')}`, so there is nothing to grant")
    return replace(grants, **{name: value})


def _folder(kind: str, inside: str, outside: str, asks: Asks, grants: Grants) -> Grants:
    asked = dict(asks.folders).get(inside)
    if asked is None or (kind == "write" and asked == "read"):
        raise Refused(f"it does not ask to {kind} `{inside}`, so there is nothing to grant")
    if not Path(outside).is_dir() or not outside:
        raise Refused(f"`--grant {kind}:{inside}={outside}`: expected a directory of this box after `=`")
    key = "folders" if kind == "read" else "writable"
    pairs = dict(getattr(grants, key)) | {inside: str(Path(outside).absolute())}
    other = "writable" if key == "folders" else "folders"
    rest = tuple(pair for pair in getattr(grants, other) if pair[0] != inside)
    changed: dict[str, Any] = {key: tuple(pairs.items()), other: rest}
    return replace(grants, **changed)


def _bytes(value: str, asked: int) -> int:
    if not value:
        return asked
    if not value.isdecimal() or int(value) == 0:
        raise Refused(f"`--grant store={value}`: expected a number of bytes", exit_codes.USAGE)
    return int(value)


def _hosts(value: str, asks: Asks) -> tuple[str, ...]:
    hosts = tuple(filter(None, value.split(","))) or tuple(host for host in asks.http if host != "*")
    if not hosts:
        raise Refused("`--grant http`: it asks for hosts that you name; write `--grant http=HOST,...`")
    return hosts
