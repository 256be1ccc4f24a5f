"""The record of `models.py` as a page: the aims first, then each row with its ratios."""

from __future__ import annotations

import statistics
from typing import Any

from machine import machine_line
from relay_report import spread

_READING = """
Load, gateway and models share the cores, so read ratios. A ratio is taken between two cells of one round; given are
the median over the rounds and, in brackets, the quartiles. Plain numbers are medians. All callers run in closed loops,
and no two calls are alike. One thread computes (`profile = "balanced"` on two cores), in both processes. One call at a
time comes from a native load, several callers are in Python.
""".strip()


def _table(*heads: str) -> list[str]:
    return [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]


def _ratio(above: list[float], below: list[float]) -> str:
    return spread([up / down for up, down in zip(above, below, strict=True) if down])


def report(found: dict[str, Any], notes: str) -> str:
    machine, rows = found["machine"], found["cells"]

    def values(row: str, engine: str, field: str) -> list[float]:
        return [cell[field] for cell in rows[row][engine]]

    def median(row: str, engine: str, field: str) -> float:
        return statistics.median(values(row, engine, field))

    setting = (
        f"`python benches/models.py` in one run of {found['took_s']} s, {found['rounds']} rounds, {machine['date']}, "
        f"commit {machine['commit']}. {machine_line(machine)}"
    )
    alone = {engine: values("alone", engine, "p50_us") for engine in ("onnxruntime", "task", "gateway")}
    resting, configured = list(found["memory_kib"].values())[:2]
    more = (configured["pss"] - resting["pss"]) / 1024
    broken = found["broken"]
    quiet, busy, attacked = (
        statistics.median(cell["p50_us"] for cell in broken[key]) for key in ("quiet", "busy", "attacked")
    )
    lines = ["# Local models, measured", "", setting, "", _READING, "", "## Aims", "", *_table("aim", "measured")]
    by_task, by_runtime = (_ratio(alone["gateway"], alone[engine]) for engine in ("task", "onnxruntime"))
    before, after = (broken[key]["pss"] / 1024 for key in ("before_kib", "after_kib"))
    others = f"p50 {attacked:.0f} µs (quiet {quiet:.0f}, beside good ones {busy:.0f})"
    others += f", memory of the daemon {before:.1f} → {after:.1f} MB"
    lines += [
        f"| the gateway adds at most 10 % to a model of ten milliseconds, p50: ratio to the same task | {by_task} |",
        f"| the same as a ratio to onnxruntime alone | {by_runtime} |",
        f"| models configured and none loaded: +1 MB | {more:+.2f} MB (PSS) |",
        f"| others' calls beside broken models as before | {others} |",
        "",
        "## One call at a time",
        "",
        *_table("", "p50, µs", "p99, µs", "p50 as a ratio to the task"),
    ]
    for engine in alone:
        lines.append(
            f"| {engine} | {median('alone', engine, 'p50_us'):.0f} | {median('alone', engine, 'p99_us'):.0f} | "
            f"{_ratio(alone[engine], alone['task'])} |"
        )
    for title, engine in (("`content-type`", "gateway"), ("`sentence`", "gateway, sentences")):
        lines += ["", f"## Several callers, {title}", ""]
        lines += _table("callers", "calls/s", "p50, ms", "p99, ms", "calls/s without batches", "batches / none")
        for count in found["callers"]:
            row, other = f"callers_{count}", f"{engine}, no batches"
            lines.append(
                f"| {count} | {median(row, engine, 'per_s'):.0f} | {median(row, engine, 'p50_us') / 1000:.1f} | "
                f"{median(row, engine, 'p99_us') / 1000:.1f} | {median(row, other, 'per_s'):.0f} | "
                f"{_ratio(values(row, engine, 'per_s'), values(row, other, 'per_s'))} |"
            )
    lines += ["", "## From cold", "", *_table("", "seconds to the answer")]
    lines += [f"| {row} | {statistics.median(taken):.2f} |" for row, taken in found["cold_s"].items()]
    lines += ["", "## Memory, KiB", "", *_table("", "PSS", "RSS")]
    lines += [f"| {row} | {kib['pss']} | {kib['rss']} |" for row, kib in found["memory_kib"].items()]
    lines += ["", "## A good server beside broken models", "", *_broken(broken), "", ""]
    suspects = [
        f"- {row}, {engine}: {cell['suspect']}"
        for row, engines in rows.items()
        for engine, cells in engines.items()
        for cell in cells
        if "suspect" in cell
    ]
    if suspects:
        lines += ["## To be doubted", "", *suspects, ""]
    return "\n".join(lines) + notes


def _broken(found: dict[str, Any]) -> list[str]:
    totals = {
        (row, key): sum(cell["counts"][key] for cell in found[row])
        for row in ("busy", "attacked")
        for key in ("calls", "kills")
    }
    kills = totals["attacked", "kills"]
    names = {
        "quiet": "quiet",
        "busy": f"beside {totals['busy', 'calls']} calls of good tools",
        "attacked": f"beside {totals['attacked', 'calls']} of broken models, {kills} workers killed",
    }
    lines = _table("paced calls of a good server", "p50, µs", "p99, µs")
    for row, name in names.items():
        p50, p99 = (statistics.median(cell[field] for cell in found[row]) for field in ("p50_us", "p99_us"))
        lines.append(f"| {name} | {p50:.0f} | {p99:.0f} |")
    return lines
