"""Capabilities and bounds of plugins, as a person reads them. Everything that a plugin says is cleaned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tidegate.cli.terminal import clean
from tidegate.config.snapshot import Bounds, Grants
from tidegate.sandbox.manifest import Asks, Manifest


def asked_lines(asks: Asks) -> Iterator[tuple[str, str]]:
    """(name as `--grant` has it, what it means) of each thing that is asked for."""
    for path, how in asks.folders:
        words = "read" if how == "read" else "read and write"
        yield f"{how}:{clean(path)}", f"{words} a folder of this box, as `{clean(path)}`"
    if asks.http:
        hosts = "hosts that you name" if "*" in asks.http else listed(asks.http)
        yield "http", f"send HTTP requests to {hosts}"
    yield from _plain_lines(asks)


def granted_lines(grants: Grants) -> Iterator[tuple[str, str]]:
    """The same of each thing that is granted."""
    for inside, outside in grants.folders:
        yield f"read:{clean(inside)}", f"read `{clean(outside)}`, as `{clean(inside)}`"
    for inside, outside in grants.writable:
        yield f"write:{clean(inside)}", f"read and write `{clean(outside)}`, as `{clean(inside)}`"
    if grants.http:
        yield "http", f"send HTTP requests to {listed(grants.http)}"
    yield from _plain_lines(grants)


def _plain_lines(some: Asks | Grants) -> Iterator[tuple[str, str]]:
    """Of what is asked for as it is granted."""
    if some.store_bytes:
        yield "store", f"keep up to {size(some.store_bytes)} of its own between calls"
    if some.call:
        yield "call", f"call tools, with the rights of whoever called it: {listed(some.call)}"
    if some.log:
        yield "log", "write to the log of the gateway"
    if some.time:
        yield "time", "know the time"
    if some.random:
        yield "random", "have random numbers"


def bounds_words(bounds: Bounds) -> str:
    seconds = f"{bounds.deadline_ms / 1000:g} s"
    return (
        f"{size(bounds.memory_bytes)} of memory and {seconds} a call, answers of {size(bounds.output_bytes)}, "
        f"{bounds.concurrency} call{'s' if bounds.concurrency != 1 else ''} at once"
    )


def headline(manifest: Manifest) -> str:
    what = f"a filter of {' and '.join(f'{one}s' for one in manifest.inspects)}" if manifest.inspects else "tools"
    return f"{manifest.name} {manifest.version}, {what}"


def size(count: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            value = count / factor
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"  # 1023 is not 1.02e+03
    return f"{count} bytes"


def listed(names: Sequence[str]) -> str:
    return ", ".join(clean(name) for name in names)
