"""What a plugin gets: what its manifest asks for and its operator grants, within the gateway's own bounds.

Neither alone is enough. Of hosts and tools the operator has the last word, because names differ from box to box: the
manifest says that it sends requests, the configuration says where to.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from tidegate.config.snapshot import Bounds, Grants
from tidegate.sandbox.manifest import Asks

OWN: Final = Bounds(memory_bytes=64 * 1024 * 1024, deadline_ms=1000, output_bytes=1024 * 1024, concurrency=4)
"""Where neither says anything."""

MOST: Final = Bounds(memory_bytes=256 * 1024 * 1024, deadline_ms=30_000, output_bytes=8 * 1024 * 1024, concurrency=16)
"""The most that a manifest gets by asking; an operator may allow more."""


def granted(asks: Asks, grants: Grants) -> Grants:
    """What of `grants` is of any effect."""
    asked = dict(asks.folders)
    return Grants(
        folders=tuple(pair for pair in grants.folders if pair[0] in asked),
        writable=tuple(pair for pair in grants.writable if asked.get(pair[0]) == "write"),
        http=grants.http if asks.http else (),
        store_bytes=grants.store_bytes if asks.store_bytes else 0,
        log=grants.log and asks.log,
        time=grants.time and asks.time,
        random=grants.random and asks.random,
        call=grants.call if asks.call else (),
    )


def useless(asks: Asks, grants: Grants) -> tuple[str, ...]:
    """Names of the grants that are, all or in part, not asked for."""
    effective = granted(asks, grants)
    return tuple(one.name for one in fields(Grants) if getattr(grants, one.name) != getattr(effective, one.name))


def ungranted(asks: Asks, grants: Grants) -> tuple[str, ...]:
    """Names of what it asks for and does not get: it may still be of use without."""
    effective = granted(asks, grants)
    given = {path for path, _ in (*effective.folders, *effective.writable)}
    missing = []
    for one in fields(Asks):
        asked = getattr(asks, one.name)
        if one.name == "folders":
            lacking = any(path not in given for path, _ in asks.folders)
        else:
            lacking = bool(asked) and not getattr(effective, one.name)
        if lacking:
            missing.append(one.name)
    return tuple(missing)


def grants_in_a_line(grants: Grants) -> str:
    """What is granted, one word each, `-` for nothing: `log,store:65536,http:api.example.com,read:/data=/srv/data`."""
    words = [name for name in ("log", "time", "random") if getattr(grants, name)]
    if grants.store_bytes:
        words.append(f"store:{grants.store_bytes}")
    words += [f"http:{host}" for host in grants.http]
    words += [f"call:{pattern}" for pattern in grants.call]
    words += [f"read:{inside}={outside}" for inside, outside in grants.folders]
    words += [f"write:{inside}={outside}" for inside, outside in grants.writable]
    line = ",".join(words) or "-"
    # One value of a line of the log: a path may hold anything.
    return line if line.isprintable() and not set(line) & set(' "') else repr(line)


def bounded(limits: Bounds, bounds: Bounds) -> Bounds:
    """The bounds in force: the operator's, else what the manifest needs up to `MOST`, else `OWN`."""
    values = {}
    for one in fields(Bounds):
        needed = getattr(limits, one.name)
        values[one.name] = getattr(bounds, one.name) or min(needed, getattr(MOST, one.name)) or getattr(OWN, one.name)
    return Bounds(**values)
