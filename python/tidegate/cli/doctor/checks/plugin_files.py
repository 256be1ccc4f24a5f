"""A plugin is not what was pinned, is not there, or its grants lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.plugin.configured import Configured, plugins_of
from tidegate.cli.plugin.state import state_of
from tidegate.sandbox.granting import useless


def _look(case: Case) -> Iterator[Finding]:
    if case.snapshot is None:
        return
    for one in plugins_of(case.snapshot):
        if one.enabled:
            yield from _of(case, one)


def _of(case: Case, one: Configured) -> Iterator[Finding]:
    place = case.document.place((one.section, one.name, "wasm"))
    where = f"{place.file}:{place.line}" if place.line else place.file or "the embedded default"
    backend = one.name if one.section == "backends" else None
    lost = "its tools are missing" if backend else "calls of the tools it filters are refused"
    state = state_of(one, case.snapshot.trusted_keys if case.snapshot is not None else ())
    if not state.usable:
        yield Finding(
            "error",
            f"the plugin `{one.name}` cannot be run: {case.quote(state.words)}",
            f"{where}: `{case.quote(one.plugin.file)}`",
            lost,
            "put the file back that was added; or look at the new one, and add it with `--replace`; or take it out",
            (f"tidegate plugin inspect {one.name}", f"tidegate plugin remove {one.name}"),
            backend,
        )
        return
    for key in ("folders", "writable"):
        for inside, outside in getattr(one.plugin.grants, key):
            if not Path(outside).is_dir():
                yield Finding(
                    "error",
                    f"the plugin `{one.name}` is granted a folder that is not there: `{case.quote(outside)}`",
                    f"{where}: `{key}`, which the plugin sees as `{case.quote(inside)}`",
                    lost,
                    "make it, or grant another one",
                    (),
                    backend,
                )
    if state.opened is not None and (names := useless(state.opened.manifest.asks, one.plugin.grants)):
        yield Finding(
            "note",
            f"the plugin `{one.name}` is granted what it does not ask for: {', '.join(names)}",
            f"{where}; its manifest does not name it",
            "it has no use for it now, and a later version would get it unasked",
            "take it out of its grants",
            (),
            backend,
        )


CHECK = BoxCheck("plugin_files", "plugins are the files that were pinned, and what they are granted is there", _look)
