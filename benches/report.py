"""The record of a run as a page: ratios first, the tail before the mean."""

from __future__ import annotations

from typing import Any

from machine import machine_line

_HOP = "HTTP → nginx → HTTP"
_READING = [
    "Load, gateway and backend share the cores, so read ratios. The backend (`echo_server.rs`) is native and answers",
    "at once; `HTTP direct` and `TCP direct` are its ceilings and those of the load. Both loads are closed loops: a",
    "connection sends its next call when it has its answer, so a stall delays calls instead of counting against them.",
    "CPU: user and system time of the middle process alone. Rows of a table ran in turn, the small calls twice: the",
    "round with more calls counts. The gateway runs with its rate limit off, nginx with one worker and keep-alive.",
]
_COLUMNS = [
    "calls/s, share of direct",
    "p99, times direct",
    "calls/s, share of nginx",
    "p99, times nginx",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "calls/s",
    "CPU s per 10,000 calls",
    "backend's",
]


def report(found: dict[str, Any]) -> str:
    machine = found["machine"]
    setting = (
        f"`python benches/run.py` in one run of {found['took_s']} s, {machine['date']}, commit {machine['commit']}."
    )
    lines = ["# The gateway, measured", "", f"{setting} {machine_line(machine)}", "", *_READING, ""]
    for connections, lanes in found["call"].items():
        lines += [f"## A small `tools/call` (2026-07-28), {connections} connection{'s' if connections > 1 else ''}", ""]
        lines += _calls(lanes)
    lines += ["## A result of one megabyte", ""]
    for connections, lanes in found["big"].items():
        lines += _sizes(lanes, connections)
    lines += ["## `tools/list` over 1,000 tools", ""]
    for connections, lanes in found["list"].items():
        lines += _sizes(lanes, connections)
    lines += ["## Start", "", "| from starting the process | median ms | worst ms |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {row['median_ms']:.0f} | {row['worst_ms']:.0f} |" for name, row in found["starts"].items()]
    lines += ["", "## Memory", "", "| MiB | RSS | PSS | USS |", "| --- | ---: | ---: | ---: |"]
    rows = {
        **found["memory_kib"],
        **{f"after the load, {name}": row for name, row in found["memory_after_load_kib"].items()},
    }
    lines += [
        f"| {name} | {row['rss'] / 1024:.1f} | {row['pss'] / 1024:.1f} | {row['uss'] / 1024:.1f} |"
        for name, row in rows.items()
    ]
    lines += ["", "| per session, from 100 to 1,000 | KiB |", "| --- | ---: |"]
    for kind in ("HTTP sessions, not connected", "TCP sessions, connected"):
        few, many = found["memory_kib"][f"100 {kind}"], found["memory_kib"][f"1000 {kind}"]
        lines.append(f"| {kind} | {(many['uss'] - few['uss']) / 900:.1f} |")
    lines += [
        "",
        f"## At rest, over {found['rest_over_s']} s",
        "",
        "| daemon | wake-ups per s | CPU ms per s |",
        "| --- | ---: | ---: |",
    ]
    lines += [
        f"| {name} | {row['wakeups_per_s']:.1f} | {row['cpu_ms_per_s']:.1f} |" for name, row in found["rest"].items()
    ]
    suspects = [
        f"- {kind}, {connections} connections, {name}: {cell['suspect']}"
        for kind in ("call", "big", "list")
        for connections, lanes in found[kind].items()
        for name, cell in lanes.items()
        if "suspect" in cell
    ]
    lines += ["", "## Not to be trusted", "", *suspects] if suspects else []
    return "\n".join(lines) + "\n"


def _direct(name: str) -> str:
    return name.partition(" ")[0] + " direct"


def _calls(lanes: dict[str, dict[str, Any]]) -> list[str]:
    lines = [f"| | {' | '.join(_COLUMNS)} |", "| --- |" + " ---: |" * len(_COLUMNS)]
    for name, cell in lanes.items():
        direct, hop = lanes[_direct(name)], lanes[_HOP] if name.startswith("HTTP") else None
        beside = f"{cell['per_s'] / hop['per_s']:.2f} | {cell['p99_us'] / hop['p99_us']:.1f}" if hop else "|"
        middle = f"{cell['cpu_s_per_10k']:.2f}" if "→" in name else ""
        lines.append(
            f"| {name} | {cell['per_s'] / direct['per_s']:.2f} | {cell['p99_us'] / direct['p99_us']:.1f} | {beside} | "
            f"{cell['p50_us']} | {cell['p99_us']} | {cell['p999_us']} | {cell['per_s']:,.0f} | {middle} | "
            f"{cell['backend_cpu_s_per_10k']:.2f} |"
        )
    return [*lines, ""]


def _sizes(lanes: dict[str, dict[str, Any]], connections: int) -> list[str]:
    load = f"{connections} connection{'s' if connections > 1 else ''}"
    lines = [
        f"| {load} | share of direct | p50 ms | p99 ms | answers/s | MB/s | CPU ms an answer |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, cell in lanes.items():
        middle = f"{cell['cpu_s_per_10k'] / 10:.2f}" if "→" in name else ""
        lines.append(
            f"| {name} | {cell['per_s'] / lanes['HTTP direct']['per_s']:.2f} | {cell['p50_us'] / 1000:.2f} | "
            f"{cell['p99_us'] / 1000:.2f} | {cell['per_s']:,.0f} | {cell['per_s'] * cell['answer_bytes'] / 1e6:,.0f} | "
            f"{middle} |"
        )
    return [*lines, ""]
