"""The record of `plugins.py` as a page: the aims first, then each row with its ratios."""

from __future__ import annotations

import statistics
from typing import Any

from machine import machine_line
from relay_report import spread

PLUGINS = ("plugin, module", "plugin, component")
EMPTY_HOPS = ("native server, HTTP", "native server, stdio")
_READING = """
Load, gateway and backend share the cores, so read ratios. A ratio is taken between two cells of one round; given are
the median over the rounds and, in brackets, the quartiles. Plain numbers are medians. CPU: user and system time of the
gateway and of the child behind it. A call carries a kilobyte there and a kilobyte back. *The empty hop* is the gateway
before a native server that answers as much from memory: of the two below (HTTP, stdio), the one that is faster in that
round. The plugin is one C source, once as a core module and once as a component; each call has an instance of its own.
""".strip()


def _table(*heads: str) -> list[str]:
    return [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]


class Rows:
    """What the cells found, a value a round."""

    def __init__(self, cells: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
        self.cells = cells
        for engines in cells.values():
            for found in engines.values():
                for cell in found:
                    cell["all_cpu_us"] = (cell["cpu_s_per_10k"] + cell["backend_cpu_s_per_10k"]) * 100

    def values(self, row: str, engine: str, field: str) -> list[float]:
        return [cell[field] for cell in self.cells[row][engine]]

    def median(self, row: str, engine: str, field: str) -> float:
        return statistics.median(self.values(row, engine, field))

    def ratio(self, row: str, engine: str, field: str, by_engine: str, by_row: str = "") -> str:
        above, below = self.values(row, engine, field), self.values(by_row or row, by_engine, field)
        return spread([up / down for up, down in zip(above, below, strict=True) if down])

    def empty_hop(self, row: str, field: str) -> list[float]:
        """The faster one of each round."""
        return [min(pair) for pair in zip(*(self.values(row, hop, field) for hop in EMPTY_HOPS), strict=True)]

    def added(self, row: str, engine: str, field: str) -> str:
        own = self.values(row, engine, field)
        return spread([mine - hop for mine, hop in zip(own, self.empty_hop(row, field), strict=True)])

    def suspects(self) -> list[str]:
        return [
            f"- {row}, {engine}, round {at + 1}: {cell['suspect']}"
            for row, engines in self.cells.items()
            for engine, found in engines.items()
            for at, cell in enumerate(found)
            if "suspect" in cell
        ]


def report(found: dict[str, Any], notes: str) -> str:
    machine, rows = found["machine"], Rows(found["cells"])
    setting = (
        f"`python benches/plugins.py` in one run of {found['took_s']} s, {found['rounds']} rounds, {machine['date']}, "
        f"commit {machine['commit']}. {machine_line(machine)}"
    )
    lines = ["# Plugins, measured", "", setting, "", _READING, "", "## Aims", "", *_aims(found, rows), ""]
    for row, title in (
        ("alone", "One call at a time, all processes on one core"),
        ("alone_free", "The same, wherever the scheduler puts them"),
        ("paced", "1,000 calls a second, open loop, 4 connections"),
        ("busy", "As fast as it goes, 16 connections"),
    ):
        lines += [f"## {title}", "", *_calls(rows, row), ""]
    lines += ["## Guests that compute for some milliseconds", "", *_parallel(rows), ""]
    lines += ["## A call without a gateway, in microseconds", "", *_costs(found["costs"]), ""]
    lines += ["## Memory of a daemon at rest, KiB", "", *_memory(found["memory_kib"]), ""]
    lines += ["## While hostile plugins are called all the time", "", *_attack(found["attack"]), ""]
    suspects = rows.suspects()
    lines += ["## Not to be trusted", "", *suspects, ""] if suspects else []
    return "\n".join(lines) + f"\n{notes}"


def _aims(found: dict[str, Any], rows: Rows) -> list[str]:
    lines = _table("figure", "aim", *PLUGINS)

    def line(figure: str, aim: str, of: Any) -> None:
        lines.append(f"| {figure} | {aim} | {' | '.join(of(engine) for engine in PLUGINS)} |")

    line("p50 added to the empty hop, one core, µs", "≤ 150", lambda one: rows.added("alone", one, "p50_us"))
    line("the same, two cores, µs", "≤ 150", lambda one: rows.added("alone_free", one, "p50_us"))
    line(
        "CPU of gateway and child at 1,000 calls/s ÷ that with a plain Python child",
        "≤ 0.33",
        lambda one: rows.ratio("paced", one, "all_cpu_us", "plain Python, stdio"),
    )
    line("the same ÷ that with a child of the Python SDK", "≤ 0.33",
         lambda one: rows.ratio("paced", one, "all_cpu_us", "Python SDK, stdio"))  # fmt: skip
    line("CPU at full load ÷ that with a plain Python child", "≤ 0.33",
         lambda one: rows.ratio("busy", one, "all_cpu_us", "plain Python, stdio"))  # fmt: skip
    line("the same ÷ that with a child of the Python SDK", "≤ 0.33",
         lambda one: rows.ratio("busy", one, "all_cpu_us", "Python SDK, stdio"))  # fmt: skip
    line(
        "8 at once that compute, two cores ÷ one",
        "2",
        lambda one: rows.ratio("work_8", one, "per_s", one, "work_8_one_core"),
    )
    memory = found["memory_kib"]
    none = memory["no plugin configured"]["pss"]
    for name in ("three tool plugins configured, none used", "these and two filters, which are loaded at once"):
        more = f"{(memory[name]['pss'] - none) / 1024:+.1f}"
        lines.append(f"| memory, MiB (PSS), more than without plugins: {name} | ≤ +3 | {more} | {more} |")
    attack = found["attack"]
    quiet, attacked = (
        statistics.median(cell["p99_us"] for cell in attack["good server"][when]) for when in ("quiet", "attacked")
    )
    lines.append(f"| p99 of a good server's calls under attack ÷ quiet | as it was | {attacked / quiet:.2f} | |")
    return lines


def _calls(rows: Rows, row: str) -> list[str]:
    lines = _table("behind the gateway", "calls/s", "p50 µs", "added to the empty hop", "p99 µs", "gateway's CPU µs",
                   "child's", "together ÷ plain Python", "together ÷ Python SDK")  # fmt: skip
    for engine in rows.cells[row]:
        cpu = [rows.median(row, engine, field) * 100 for field in ("cpu_s_per_10k", "backend_cpu_s_per_10k")]
        ratios = [
            rows.ratio(row, engine, "all_cpu_us", other) for other in ("plain Python, stdio", "Python SDK, stdio")
        ]
        hop = engine == "no hop"
        fields = [
            f"{rows.median(row, engine, 'per_s'):,.0f}",
            f"{rows.median(row, engine, 'p50_us'):.0f}",
            "" if hop else rows.added(row, engine, "p50_us"),
            f"{rows.median(row, engine, 'p99_us'):.0f}",
            "" if hop else f"{cpu[0]:.1f}",
            f"{cpu[1]:.1f}",
            *(["", ""] if hop else ratios),
        ]
        lines.append(f"| {engine} | {' | '.join(fields)} |")
    return lines


def _parallel(rows: Rows) -> list[str]:
    lines = _table("plugin", "one at a time, calls/s", "8 at once", "8 at once, one core", "two cores ÷ one",
                   "8 ÷ 1 at once", "p99 ms, 8 at once")  # fmt: skip
    for engine in PLUGINS:
        rates = [f"{rows.median(row, engine, 'per_s'):,.0f}" for row in ("work_1", "work_8", "work_8_one_core")]
        ratios = [rows.ratio("work_8", engine, "per_s", engine, row) for row in ("work_8_one_core", "work_1")]
        late = f"{rows.median('work_8', engine, 'p99_us') / 1000:.1f}"
        lines.append(f"| {engine} | {' | '.join([*rates, *ratios, late])} |")
    return lines


def _costs(costs: dict[str, float]) -> list[str]:
    what = ("instance", "instance and call", "call of a kept instance", "work")
    lines = _table(
        "core module, by wasmtime alone", *what, "work ÷ not interrupted", "instance and call ÷ not interrupted"
    )
    plain = {name: costs[f"not interrupted: {name}"] for name in what}
    for variant in ("not interrupted", "epoch", "fuel", "epoch, memory asked for"):
        found = {name: costs[f"{variant}: {name}"] for name in what}
        ratios = [found[name] / plain[name] for name in ("work", "instance and call")]
        fields = [*(f"{found[name]:.1f}" for name in what), *(f"{one:.2f}" for one in ratios)]
        lines.append(f"| {variant} | {' | '.join(fields)} |")
    module, component = (costs[f"sandbox, {kind}: call"] for kind in ("module", "component"))
    whole = "From a call's start to its end through the sandbox's queue, thread and descriptor:"
    return [*lines, "", f"{whole} {module:.1f} as a core module, {component:.1f} as a component."]


def _memory(memory: dict[str, dict[str, int]]) -> list[str]:
    lines = _table("daemon", "RSS", "PSS", "private", "PSS more than without")
    none = memory["no plugin configured"]["pss"]
    for name, kib in memory.items():
        lines.append(f"| {name} | {kib['rss']:,} | {kib['pss']:,} | {kib['uss']:,} | {kib['pss'] - none:+,} |")
    return lines


def _attack(attack: dict[str, Any]) -> list[str]:
    lines = _table(
        "calls of", "quiet: p50 µs", "p99", "p99.9", "attacked: p50 µs", "p99", "p99.9", "p50, attacked ÷ quiet", "p99"
    )
    for row in ("good server", "good plugin"):
        quiet, attacked = attack[row]["quiet"], attack[row]["attacked"]
        times = [
            f"{statistics.median(cell[field] for cell in cells):.0f}"
            for cells in (quiet, attacked)
            for field in ("p50_us", "p99_us", "p999_us")
        ]
        ratios = [
            spread([up[field] / down[field] for up, down in zip(attacked, quiet, strict=True)])
            for field in ("p50_us", "p99_us")
        ]
        lines.append(f"| a {row} | {' | '.join(times + ratios)} |")
    before, after = attack["before_kib"], attack["after_kib"]
    return [*lines, "", f"The daemon's RSS before the attacks {before['rss']:,} KiB, after them {after['rss']:,} KiB."]
