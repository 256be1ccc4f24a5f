"""The record of `relay.py` as a page: the aims first, then each row with its ratios."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from machine import machine_line

ENGINES = ("direct", "nginx", "nginx, unbuffered", "forwarder", "relay", "slow lane")
GATEWAYS = ("relay", "slow lane")
NOTES = "## Where the time goes"
_READING = """
Load, engine and backend share the cores, so read ratios. A ratio is taken between two cells of one round; given are the
median over the rounds and, in brackets, the quartiles. Plain numbers are medians. CPU: user and system time of the
engine's process alone. `direct`: no hop, the ceiling of load and backend. `nginx`: one worker, kept-alive connections,
no access log, else as it comes: of a large answer it puts into a file what the client has not yet taken; `unbuffered`
does not. `forwarder`: `forwarder.py`, bytes on uvloop's protocol callbacks, an upstream connection for each of the
client's. `relay`: the daemon as it is. `slow lane`: the same with `--no-relay`. The gateway's rate limit is off but for
the guarded row.
""".strip()
_TITLES = {
    "call": "A small `tools/call` (2026-07-28), HTTP → HTTP, 64 connections, closed loop",
    "session": "The same in sessions (2025-11-25) at a server with sessions, 64 connections, 64 sessions",
    "guarded": "The first with a token, patterns over tools, a rate that is counted, and metrics",
    "alone": "A small `tools/call`, 1 connection, closed loop, all processes on one core",
    "alone_free": "The same, wherever the scheduler puts them",
    "paced": "8 connections, open loop, all at the same rate: half of the least maximum",
    "paced_own": "8 connections, open loop, each at half of its own maximum",
    "stdio": "HTTP → stdio, 64 connections, closed loop (forwarder and nginx: HTTP → HTTP)",
    "lines": "TCP → stdio, 64 connections, closed loop (forwarder: TCP → TCP)",
    "big": "A result of one megabyte, HTTP → HTTP, 4 connections, closed loop",
    "big_stdio": "A result of one megabyte, HTTP → stdio, 4 connections (forwarder and nginx: HTTP → HTTP)",
}
_AIMS = (
    ("calls/s at 64 connections, against nginx", "≥ 1.0", ("call", "per_s"), ("call", "nginx", "per_s")),
    ("the same in sessions", "≥ 1.0", ("session", "per_s"), ("session", "nginx", "per_s")),
    ("CPU per call, against nginx", "≤ 1.0", ("call", "cpu_s_per_10k"), ("call", "nginx", "cpu_s_per_10k")),
    ("the same in sessions", "≤ 1.0", ("session", "cpu_s_per_10k"), ("session", "nginx", "cpu_s_per_10k")),
    ("added p50 at 1 connection, against the forwarder's", "≤ 1.3", ("alone", "added_us"),
     ("alone", "forwarder", "added_us")),
    ("p99.9 at 8 connections, one rate, open loop, against nginx", "≤ 2", ("paced", "p999_us"),
     ("paced", "nginx", "p999_us")),
    ("the same, each at half of its own maximum", "≤ 2", ("paced_own", "p999_us"), ("paced_own", "nginx", "p999_us")),
    ("HTTP → stdio calls/s, against the forwarder", "≥ 0.5", ("stdio", "per_s"), ("call", "forwarder", "per_s")),
    ("TCP → stdio calls/s, against a TCP forwarder", "≥ 0.5", ("lines", "per_s"), ("lines", "forwarder", "per_s")),
    ("1 MB results at 4 connections, against nginx", "≥ 0.9", ("big", "per_s"), ("big", "nginx", "per_s")),
    ("the same, against nginx without buffering", "", ("big", "per_s"), ("big", "nginx, unbuffered", "per_s")),
    ("CPU per call with token, rate and metrics, against without", "≤ 1.10", ("guarded", "cpu_s_per_10k"),
     ("call", "", "cpu_s_per_10k")),
)  # fmt: skip
"""Figure, aim, row and field of the gateway, and what it is divided by (no engine: the same)."""
_MEMORY_AIMS_BYTES = {
    "HTTP connection": 8192,
    "TCP connection": 8192,
    "legacy session, not connected": 12288,
    "legacy session and its connection": 12288 + 8192,
}


_TIMES = ("cpu_s_per_10k", "kernel_cpu_s_per_10k", "backend_cpu_s_per_10k")


class Rows:
    """What the cells found, a value a round."""

    def __init__(self, cells: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
        self._cells = cells
        for row in ("alone", "alone_free"):
            for engine, found in cells.get(row, {}).items():
                for cell, direct in zip(found, cells[row]["direct"], strict=True):
                    cell["added_us"] = cell["p50_us"] - direct["p50_us"] if engine != "direct" else 0.0

    def names(self) -> Iterable[str]:
        return [name for name in _TITLES if name in self._cells]

    def engines(self, row: str) -> list[str]:
        return [engine for engine in ENGINES if engine in self._cells[row]]

    def values(self, row: str, engine: str, field: str) -> list[float]:
        """Empty when nothing was measured, or not this."""
        return [cell[field] for cell in self._cells.get(row, {}).get(engine, []) if field in cell]

    def median(self, row: str, engine: str, field: str) -> float:
        return statistics.median(self.values(row, engine, field))

    def ratio(self, row: str, engine: str, field: str, by: tuple[str, str, str]) -> str:
        """Median and quartiles; empty when there is nothing to divide, or by."""
        above, below = self.values(row, engine, field), self.values(*by)
        if not above or not below or (row, engine, field) == by:
            return ""
        return spread([up / down for up, down in zip(above, below, strict=True) if down])

    def suspects(self) -> list[str]:
        return [
            f"- {row}, {engine}, round {at + 1}: {cell['suspect']}"
            for row, engines in self._cells.items()
            for engine, found in engines.items()
            for at, cell in enumerate(found)
            if "suspect" in cell
        ]


def spread(values: list[float]) -> str:
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def report(found: dict[str, Any], notes: str) -> str:
    machine, rows = found["machine"], Rows(found["cells"])
    setting = (
        f"`python benches/relay.py` in one run of {found['took_s']} s, {found['rounds']} rounds, {machine['date']}, "
        f"commit {machine['commit']}. {machine_line(machine)}"
    )
    lines = ["# The relay, measured", "", setting, "", _READING, "", "## Aims", ""]
    lines += [*_aims(rows, found.get("memory", {})), ""]
    for row in rows.names():
        lines += [f"## {_TITLES[row]}", ""]
        if row.startswith("paced"):
            lines += _paced(rows, row, found["maxima"])
        elif row.startswith("alone"):
            lines += _alone(rows, row)
        else:
            lines += _closed(rows, row)
        lines.append("")
    if "memory" in found:
        lines += ["## Bytes per idle client", "", *_memory(found["memory"]), ""]
    suspects = rows.suspects()
    lines += ["## Not to be trusted", "", *suspects, ""] if suspects else []
    return "\n".join(lines) + f"\n{notes}"


def kept_notes(target: Path) -> str:
    """The last section of the record of the same day, which people write; its heading alone when there is none."""
    _, heading, text = (target.read_text() if target.exists() else "").partition(NOTES)
    return heading + text if heading else f"{NOTES}\n\nNot yet written.\n"


def _table(*heads: str) -> list[str]:
    return [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]


def _aims(rows: Rows, memory: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    lines = _table("figure", "aim", *GATEWAYS)
    for figure, aim, (row, field), (by_row, by_engine, by_field) in _AIMS:
        cells = [
            rows.ratio(row, engine, field, (by_row, by_engine or engine, by_field)) or "not available"
            for engine in GATEWAYS
        ]
        lines.append(f"| {figure} | {aim} | {' | '.join(cells)} |")
    for kind, engines in memory.items():
        cells = [f"{engines[engine]['rss']:,.0f}" if engine in engines else "not available" for engine in GATEWAYS]
        lines.append(f"| bytes (RSS) per idle client: {kind} | ≤ {_MEMORY_AIMS_BYTES[kind]:,} | {' | '.join(cells)} |")
    return lines


def _closed(rows: Rows, row: str) -> list[str]:
    """Rows to stdio are set beside the hops to HTTP."""
    against = {"stdio": "call", "big_stdio": "big"}.get(row, row)
    if row == "guarded":
        lines = _table("engine", "calls/s", "without these", "CPU µs a call", "without these", "p50 µs", "p99 µs")
    else:
        lines = _table(
            "engine", "calls/s", "÷ nginx", "÷ forwarder", "CPU µs a call", "of it kernel", "÷ nginx", "÷ forwarder",
            "backend's", "p50 µs", "p99 µs", "p99.9 µs",
        )  # fmt: skip
    for engine in rows.engines(row):
        cell = {field: rows.median(row, engine, field) for field in ("per_s", *_TIMES, "p50_us", "p99_us", "p999_us")}
        cpu = f"{cell['cpu_s_per_10k'] * 100:.1f}" if engine != "direct" else ""
        if row == "guarded":
            rate, work = (rows.ratio(row, engine, name, ("call", engine, name)) for name in ("per_s", "cpu_s_per_10k"))
            fields = [f"{cell['per_s']:,.0f}", rate, cpu, work, f"{cell['p50_us']:.0f}", f"{cell['p99_us']:.0f}"]
        else:
            fields = [
                f"{cell['per_s']:,.0f}",
                *(rows.ratio(row, engine, "per_s", (against, hop, "per_s")) for hop in ("nginx", "forwarder")),
                cpu,
                f"{cell['kernel_cpu_s_per_10k'] * 100:.1f}" if cpu else "",
                *(
                    rows.ratio(row, engine, "cpu_s_per_10k", (against, hop, "cpu_s_per_10k")) if cpu else ""
                    for hop in ("nginx", "forwarder")
                ),
                f"{cell['backend_cpu_s_per_10k'] * 100:.1f}",
                *(f"{cell[name]:.0f}" for name in ("p50_us", "p99_us", "p999_us")),
            ]
        lines.append(f"| {engine} | {' | '.join(fields)} |")
    return lines


def _alone(rows: Rows, row: str) -> list[str]:
    lines = _table("engine", "p50 µs", "added to direct, µs", "added ÷ forwarder's", "added ÷ nginx's", "p99 µs")
    for engine in rows.engines(row):
        added = [rows.ratio(row, engine, "added_us", (row, hop, "added_us")) for hop in ("forwarder", "nginx")]
        lines.append(
            f"| {engine} | {rows.median(row, engine, 'p50_us'):.1f} | "
            f"{spread(rows.values(row, engine, 'added_us')) if engine != 'direct' else ''} | "
            f"{' | '.join(added if engine != 'direct' else ['', ''])} | {rows.median(row, engine, 'p99_us'):.0f} |"
        )
    return lines


def _paced(rows: Rows, row: str, maxima: dict[str, float]) -> list[str]:
    lines = _table(
        "engine", "maximum, calls/s", "calls/s", "p50 µs", "p99 µs", "p99.9 µs", "p99.9 µs of the best round",
        "p50 ÷ nginx", "p99 ÷ nginx", "p99.9 ÷ nginx", "load late, p99 µs",
    )  # fmt: skip
    names = ("p50_us", "p99_us", "p999_us")
    for engine in rows.engines(row):
        times = [f"{rows.median(row, engine, name):.0f}" for name in names]
        times.append(f"{min(rows.values(row, engine, 'p999_us')):.0f}")
        ratios = [rows.ratio(row, engine, name, (row, "nginx", name)) for name in names]
        rate = min(maxima.values()) if row == "paced" else maxima[engine]
        lines.append(
            f"| {engine} | {maxima[engine]:,.0f} | {rate / 2:,.0f} | {' | '.join(times + ratios)} | "
            f"{rows.median(row, engine, 'late_p99_us'):.0f} |"
        )
    return lines


def _memory(memory: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    lines = _table("client", *(f"{engine}, {name}" for engine in GATEWAYS for name in ("RSS", "private")))
    for kind, engines in memory.items():
        cells = [
            f"{engines[engine][name]:,.0f}" if engine in engines else ""
            for engine in GATEWAYS
            for name in ("rss", "uss")
        ]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return lines
