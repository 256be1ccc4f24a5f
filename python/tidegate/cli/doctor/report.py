"""Findings for a person, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.finding import SEVERITIES, Finding
from tidegate.cli.stretch import stretch
from tidegate.cli.terminal import MIN_COLUMNS, clean, columns

PAGES: Final = "docs/operations/checks"
"""One page for each check, `NAME.md`."""

_LABEL: Final = 8
_LONGEST_LINE: Final = 100


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def as_json(case: Case, findings: Sequence[Finding], examined: int) -> dict[str, Any]:
    counted = {severity: sum(item.severity == severity for item in findings) for severity in SEVERITIES}
    running = case.running
    return {
        "ok": not counted["error"],
        "files": list(case.files),
        "gateway": {"running": running is not None, "pid": running.pid if running else None},
        "checks": examined,
        "counts": counted,
        "findings": [{**asdict(item), "page": f"{PAGES}/{item.check}.md"} for item in findings],
    }


def as_text(case: Case, findings: Sequence[Finding], examined: int) -> str:
    lines = [*_heading(case), ""]
    for finding in findings:
        lines += [*_block(finding), ""]
    counted = ", ".join(
        f"{count} {severity}{'s' if count > 1 else ''}"
        for severity in SEVERITIES
        if (count := sum(item.severity == severity for item in findings))
    )
    lines.append(f"{examined} check{'' if examined == 1 else 's'}: {counted or 'nothing found'}")
    return clean("\n".join(lines))


def _heading(case: Case) -> list[str]:
    files = ", ".join(case.files) or "the embedded default"
    lines = [f"configuration  {files}{f' ({case.chosen})' if case.chosen else ''}"]
    running = case.running
    if running is None:
        lines.append("gateway        none answers")
    else:
        uptime = running.status.get("uptime_s")
        up = stretch(uptime) if isinstance(uptime, int | float) else "?"
        lines.append(f"gateway        runs for {up} (pid {running.pid}), {running.admin}")
    return lines


def _block(finding: Finding) -> list[str]:
    subject = f"{finding.backend}: " if finding.backend else ""
    lines = _wrapped(finding.severity, f"{subject}{finding.what}", _LABEL)
    for label, text in (("found", finding.found), ("why", finding.why), ("fix", finding.fix)):
        if text:
            lines += ["  " + line for line in _wrapped(label, text, 6)]
    lines += [f"          {line}" for paste in finding.paste for line in paste.splitlines()]
    return [*lines, f"  more    {PAGES}/{finding.check}.md"]


def _wrapped(label: str, text: str, width: int) -> list[str]:
    import textwrap

    indent = " " * (width + 2 if width < _LABEL else width + 1)
    room = max(min(columns() or _LONGEST_LINE, _LONGEST_LINE) - 2, MIN_COLUMNS)
    first = f"{label:<{len(indent)}}"
    wrapped = textwrap.wrap(
        text, room, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return wrapped or [first.rstrip()]
